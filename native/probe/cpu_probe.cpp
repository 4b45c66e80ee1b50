// cpu_probe.cpp owns an addon of its own, which tells what the binaries of each CPU level need and this processor lacks. It is loaded before
// one of them is chosen, so it holds no instruction beyond the plain baseline and needs no C++ library.
#include "support/cpu.h"

#include <node_api.h>

#include <cstring>

namespace {

struct requirement {
    const char * level;
    const char * feature;
};

// from the least demanding level up
const requirement requirements[] = {
#include "cpu_levels.inc"
};

}  // namespace

// exports: the features that this process may not use, by level
NAPI_MODULE_INIT() {
    const char * level   = "";
    napi_value   lacking = nullptr;
    uint32_t     n       = 0;
    for (const requirement & needed : requirements) {
        if (strcmp(level, needed.level) != 0) {
            level = needed.level;
            n     = 0;
            if (napi_create_array(env, &lacking) != napi_ok ||
                napi_set_named_property(env, exports, level, lacking) != napi_ok) {
                return nullptr;
            }
        }
        napi_value name;
        if (!ig::cpu_has(needed.feature) &&
            (napi_create_string_utf8(env, needed.feature, NAPI_AUTO_LENGTH, &name) != napi_ok ||
             napi_set_element(env, lacking, n++, name) != napi_ok)) {
            return nullptr;
        }
    }
    return exports;
}
