# What ggml asserts can be thrown, also out of its C code, and operations assert that there are operands. To be called once ggml-cpu is
# defined.
function(amend_ggml_assertions)
  set(computing "${LLAMA_CPP_DIR}/ggml/src/ggml-cpu/ggml-cpu.c")
  set_property(SOURCE "${computing}" TARGET_DIRECTORY ggml-cpu APPEND PROPERTY COMPILE_DEFINITIONS
    ggml_graph_compute=ggml_graph_compute_unwatched)
  add_to_ggml(assertions.cpp)
  set(building "${LLAMA_CPP_DIR}/ggml/src/ggml.c")
  foreach(operation add sub mul div mul_mat mul_mat_id get_rows ssm_conv)
    set_property(SOURCE "${building}" TARGET_DIRECTORY ggml-base APPEND PROPERTY COMPILE_DEFINITIONS
      ggml_${operation}=ggml_${operation}_of_some)
  endforeach()
  target_sources(ggml-base PRIVATE "${CMAKE_CURRENT_SOURCE_DIR}/native/ggml/operands.cpp")
  if(NOT MSVC)
    foreach(part ggml-base ggml-cpu)
      target_compile_options(${part} PRIVATE $<$<COMPILE_LANGUAGE:C>:-fexceptions>)
    endforeach()
  endif()
endfunction()
