# Tokenising can be stopped from another thread, and takes no longer, and ends, for characters that a vocabulary lacks. To be called once llama is
# defined, which compiles amended copies of two of its files.
function(amend_llama_reading)
  file(READ "${LLAMA_CPP_DIR}/src/llama-vocab.cpp" text)
  look_in_loop("for (const llama_token special_id : cache_special_tokens)")
  look_in_loop("while (true)")
  look_in_loop("while (!work_queue.empty())")
  look_in_loop("for (int i = 0; i != -1; i = symbols[i].next)")
  look_in_loop("for (const auto & word : word_collection)")
  look_in_loop("for (const std::string & word : words)")
  look_in_loop("for (const uint32_t cpt : cpts)")
  look_in_loop("for (size_t input_offset = 0; input_offset < input_len;)")
  look_in_loop("for (size_t input_offset = 0; input_offset < input_len; )")
  look_in_loop("while (position < text.size())")
  look_in_loop("for (int i = static_cast<int>(data_len) - 1; i >= 0; --i)")
  amend_text("output.reserve(output.size() + symbol.n);" "") # it moves all tokens so far, for every character
  # where a vocabulary has longer tokens that begin with a byte, but none for the byte, it would read that byte for ever
  amend_text("uint32_t token_id = 0;" "uint32_t token_id = uint32_t(vocab.token_unk());")
  amend_text("uint32_t token_length = 0;" "uint32_t token_length = position + 1;")
  compile_amended(llama-vocab.cpp)

  file(READ "${LLAMA_CPP_DIR}/src/unicode.cpp" text)
  look_in_loop("for (const auto & word : bpe_words)")
  look_in_loop("for (size_t pos = offset_ini; pos < offset_end; /*pos++*/ )")
  look_in_loop("for (size_t pos = offset_ini; pos < offset_end; )")
  look_in_loop("while (it != end)")
  compile_amended(unicode.cpp)

  target_sources(llama PRIVATE "${CMAKE_CURRENT_SOURCE_DIR}/native/llama/stoppable_reading.cpp")
endfunction()

# It begins with a look for whether to stop.
macro(look_in_loop head)
  amend_text("${head} {" "${head} { llama_look_for_stop();")
endmacro()

macro(amend_text from to)
  string(FIND "${text}" "${from}" place)
  if(place EQUAL -1)
    message(FATAL_ERROR "expected llama.cpp's tokenizers to hold '${from}', but they do not: adapt cmake/reading.cmake")
  endif()
  string(REPLACE "${from}" "${to}" text "${text}")
endmacro()

macro(compile_amended name)
  set(amended "${GENERATED_DIR}/llama/${name}")
  file(CONFIGURE OUTPUT "${amended}" CONTENT "#include \"llama/stoppable_reading.h\"\n${text}" @ONLY) # which leaves a file alone that is so already
  get_target_property(sources llama SOURCES)
  list(REMOVE_ITEM sources ${name})
  list(APPEND sources "${amended}")
  set_property(TARGET llama PROPERTY SOURCES ${sources})
  set_property(SOURCE "${amended}" TARGET_DIRECTORY llama APPEND PROPERTY INCLUDE_DIRECTORIES
    "${LLAMA_CPP_DIR}/src" "${CMAKE_CURRENT_SOURCE_DIR}/native")
endmacro()
