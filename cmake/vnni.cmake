# Products of q8_0 weights with VNNI, which ggml has no packed form for. To be called once ggml-cpu is defined.
function(amend_ggml_vnni)
  # where ggml asks for AMX's buffer type
  set_property(SOURCE "${LLAMA_CPP_DIR}/ggml/src/ggml-cpu/ggml-cpu.cpp" TARGET_DIRECTORY ggml-cpu APPEND PROPERTY COMPILE_DEFINITIONS
    __AMX_INT8__ ggml_backend_amx_buffer_type=ggml_backend_vnni_buffer_type)
  add_to_ggml(vnni_q8_0.cpp)
endfunction()
