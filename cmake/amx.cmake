# ggml's matrix multiplication on AMX tiles: whether this machine runs it, and what it needs to be right.
include(CheckCXXSourceRuns)

# A CPU with AMX is not enough: the kernel must grant a process its tiles, and the compiler know them.
function(amx_runs result)
  set(folder "${CMAKE_CURRENT_SOURCE_DIR}/cmake/amx")
  file(READ "${folder}/runs.cpp" program)
  set(CMAKE_REQUIRED_FLAGS "-O3 -mamx-tile -mamx-int8")
  set(CMAKE_REQUIRED_INCLUDES "${folder}")
  check_cxx_source_runs("${program}" AMX_RUNS)
  if(AMX_RUNS)
    set(${result} ON PARENT_SCOPE)
  else()
    set(${result} OFF PARENT_SCOPE)
  endif()
endfunction()

# To be called once ggml-cpu is defined.
function(amend_ggml_amx)
  set(source "${LLAMA_CPP_DIR}/ggml/src/ggml-cpu/amx/mmq.cpp")
  set_property(SOURCE "${source}" TARGET_DIRECTORY ggml-cpu APPEND PROPERTY COMPILE_DEFINITIONS
    ggml_backend_amx_get_alloc_size=ggml_amx_matrix_alloc_size
    ggml_backend_amx_convert_weight=ggml_amx_matrix_convert
    ggml_backend_amx_mul_mat=ggml_amx_matrix_mul_mat)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    set_property(SOURCE "${source}" TARGET_DIRECTORY ggml-cpu APPEND PROPERTY COMPILE_OPTIONS
      -include "${CMAKE_CURRENT_SOURCE_DIR}/cmake/amx/tile-intrinsics.h")
  endif()
  target_sources(ggml-cpu PRIVATE "${CMAKE_CURRENT_SOURCE_DIR}/native/ggml/amx_slices.cpp")
endfunction()
