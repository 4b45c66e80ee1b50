# What is compiled into llama.cpp. To be called once its targets are defined.
find_package(Git REQUIRED)

set(PATCHED_LLAMA_CPP_DIR "${GENERATED_DIR}/llama.cpp")

# Copies of the files that native/patches/ change, in place of the files; the checkout stays as it is. A patch is a unified diff behind the
# text of a pull request.
function(patch_llama_cpp)
  set(scratch "${GENERATED_DIR}/patching")
  file(REMOVE_RECURSE "${scratch}")
  file(GLOB patches CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/native/patches/*.patch") # in order
  set(patched "")
  foreach(patch IN LISTS patches)
    file(STRINGS "${patch}" files REGEX "^--- a/")
    list(TRANSFORM files REPLACE "^--- a/" "")
    foreach(file IN LISTS files)
      if(NOT file IN_LIST patched)
        get_filename_component(folder "${file}" DIRECTORY)
        file(COPY "${LLAMA_CPP_DIR}/${file}" DESTINATION "${scratch}/${folder}")
      endif()
    endforeach()
    list(APPEND patched ${files})
    execute_process(
      COMMAND "${CMAKE_COMMAND}" -E env "GIT_CEILING_DIRECTORIES=${GENERATED_DIR}" "${GIT_EXECUTABLE}" apply --whitespace=nowarn
        --ignore-whitespace "${patch}" # the ends of lines are those of the checkout
      WORKING_DIRECTORY "${scratch}" RESULT_VARIABLE status ERROR_VARIABLE why)
    if(NOT status EQUAL 0)
      message(FATAL_ERROR "expected ${patch} to apply to the llama.cpp in ${LLAMA_CPP_DIR}, but it does not: adapt it, or remove it where "
        "llama.cpp does without. git says:\n${why}")
    endif()
  endforeach()

  list(REMOVE_DUPLICATES patched)
  list(TRANSFORM patched PREPEND "${LLAMA_CPP_DIR}/" OUTPUT_VARIABLE originals)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${patches} ${originals})
  foreach(file IN LISTS patched)
    execute_process(COMMAND "${CMAKE_COMMAND}" -E copy_if_different "${scratch}/${file}" "${PATCHED_LLAMA_CPP_DIR}/${file}")
    compile_patched("${file}")
  endforeach()
endfunction()

# Takes the patched copy of a file for the target that compiles it.
function(compile_patched file)
  set(original "${LLAMA_CPP_DIR}/${file}")
  foreach(target ggml-base ggml-cpu llama)
    get_target_property(folder ${target} SOURCE_DIR)
    get_target_property(sources ${target} SOURCES)
    file(RELATIVE_PATH relative "${folder}" "${original}")
    foreach(name "${original}" "${relative}")
      if(name IN_LIST sources)
        set(copy "${PATCHED_LLAMA_CPP_DIR}/${file}")
        list(REMOVE_ITEM sources "${name}")
        list(APPEND sources "${copy}")
        set_property(TARGET ${target} PROPERTY SOURCES ${sources})
        get_filename_component(beside "${original}" DIRECTORY)
        set_property(SOURCE "${copy}" TARGET_DIRECTORY ${target} APPEND PROPERTY INCLUDE_DIRECTORIES
          "${beside}" "${CMAKE_CURRENT_SOURCE_DIR}/native")
        return()
      endif()
    endforeach()
  endforeach()
  message(FATAL_ERROR "expected a target of llama.cpp to compile ${file}, which native/patches/ change, but none does")
endfunction()

# The C++ files of a folder of native/.
function(add_to_llama_cpp target folder)
  file(GLOB sources CONFIGURE_DEPENDS "native/${folder}/*.cpp")
  target_sources(${target} PRIVATE ${sources})
  if(INFERENCEGUARD_SANITIZE)
    set_property(SOURCE ${sources} TARGET_DIRECTORY ${target} APPEND PROPERTY COMPILE_OPTIONS ${INFERENCEGUARD_SANITIZERS})
  endif()
endfunction()
