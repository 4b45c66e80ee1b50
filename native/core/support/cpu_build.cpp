#include "support/cpu_build.h"

#include "support/cpu.h"

#include <sstream>

namespace ig {

const char * cpu_level() {
    return INFERENCEGUARD_LEVEL;
}

const char * required_cpu_features() {
    return INFERENCEGUARD_CPU_FEATURES;
}

std::string missing_cpu_features() {
    std::string       missing;
    std::stringstream required(required_cpu_features());
    for (std::string feature; std::getline(required, feature, ',');) {
        if (!cpu_has(feature.c_str())) {
            missing += (missing.empty() ? "" : ", ") + feature;
        }
    }
    return missing;
}

}  // namespace ig
