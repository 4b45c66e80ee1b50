# Compiles a file of native/ggml/ into ggml's CPU backend. To be called once ggml-cpu is defined.
function(add_to_ggml file)
  set(amendment "${CMAKE_CURRENT_SOURCE_DIR}/native/ggml/${file}")
  target_sources(ggml-cpu PRIVATE "${amendment}")
  if(INFERENCEGUARD_SANITIZE)
    set_property(SOURCE "${amendment}" TARGET_DIRECTORY ggml-cpu APPEND PROPERTY COMPILE_OPTIONS ${INFERENCEGUARD_SANITIZERS})
  endif()
endfunction()
