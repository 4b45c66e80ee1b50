# Attention on the CPU for many sequences that share a prompt, before ggml's own. To be called once ggml-cpu is defined.
function(amend_ggml_attention)
  set(source "${LLAMA_CPP_DIR}/ggml/src/ggml-cpu/ops.cpp")
  set_property(SOURCE "${source}" TARGET_DIRECTORY ggml-cpu APPEND PROPERTY COMPILE_DEFINITIONS
    ggml_compute_forward_flash_attn_ext=ggml_compute_own_flash_attn_ext)
  add_to_ggml(shared_attention.cpp)
endfunction()
