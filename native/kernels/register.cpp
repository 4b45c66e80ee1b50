#include "kernels.h"
#include "traits.h"

void register_kernels() {
    std::vector<ggml_backend_buffer_type_t> & entries = ggml_backend_cpu_get_extra_buffer_types();
    if (packed_products() != nullptr) {
        entries.insert(entries.begin(), packed_products());  // the first entry that accepts weights stores them
    }
    entries.push_back(shared_attention());
}
