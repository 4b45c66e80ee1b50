#include "support/cpu.h"

#include <cstdint>

#if defined(INFERENCEGUARD_CPU_FEATURES) && (defined(__x86_64__) || defined(_M_X64))
#    define CHECKS_CPU 1
#endif

#ifdef CHECKS_CPU
#    ifdef _MSC_VER
#        include <intrin.h>
#    else
#        include <cpuid.h>
#    endif
#endif

namespace ig {

#ifdef CHECKS_CPU

namespace {

struct cpuid_bit {
    const char * name;
    int          leaf;
    int          subleaf;
    int          reg;   // 0 eax, 1 ebx, 2 ecx, 3 edx
    int          bit;
    uint64_t     xcr0;  // register state that the operating system must save
};

const uint64_t ymm   = 0x6;
const uint64_t zmm   = 0xe6;
const uint64_t tiles = 0x60000;

const cpuid_bit known[] = {
    { "sse4.2",     1, 0, 2, 20, 0     },
    { "avx",        1, 0, 2, 28, ymm   },
    { "fma",        1, 0, 2, 12, ymm   },
    { "f16c",       1, 0, 2, 29, ymm   },
    { "avx2",       7, 0, 1, 5,  ymm   },
    { "bmi2",       7, 0, 1, 8,  0     },
    { "avxvnni",    7, 1, 0, 4,  ymm   },
    { "avx512f",    7, 0, 1, 16, zmm   },
    { "avx512dq",   7, 0, 1, 17, zmm   },
    { "avx512cd",   7, 0, 1, 28, zmm   },
    { "avx512bw",   7, 0, 1, 30, zmm   },
    { "avx512vl",   7, 0, 1, 31, zmm   },
    { "avx512vbmi", 7, 0, 2, 1,  zmm   },
    { "avx512vnni", 7, 0, 2, 11, zmm   },
    { "avx512bf16", 7, 1, 0, 5,  zmm   },
    { "amx-tile",   7, 0, 3, 24, tiles },
    { "amx-int8",   7, 0, 3, 25, tiles },
};

void cpuid(int leaf, int subleaf, unsigned regs[4]) {
#    ifdef _MSC_VER
    __cpuidex(reinterpret_cast<int *>(regs), leaf, subleaf);
#    else
    regs[0] = regs[1] = regs[2] = regs[3] = 0;
    __get_cpuid_count(leaf, subleaf, &regs[0], &regs[1], &regs[2], &regs[3]);
#    endif
}

uint64_t saved_register_state() {
    unsigned regs[4];
    cpuid(1, 0, regs);
    const bool osxsave = regs[2] & (1u << 27);
    if (!osxsave) {
        return 0;
    }
#    ifdef _MSC_VER
    return _xgetbv(0);
#    else
    unsigned lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return (uint64_t(hi) << 32) | lo;
#    endif
}

bool has(const cpuid_bit & feature) {
    unsigned regs[4];
    cpuid(feature.leaf, feature.subleaf, regs);
    return (regs[feature.reg] >> feature.bit & 1) && (saved_register_state() & feature.xcr0) == feature.xcr0;
}

}  // namespace

const char * required_cpu_features() {
    return INFERENCEGUARD_CPU_FEATURES;
}

std::string missing_cpu_features() {
    std::string       missing;
    const std::string required = "," + std::string(required_cpu_features()) + ",";
    for (const cpuid_bit & feature : known) {
        if (required.find("," + std::string(feature.name) + ",") != std::string::npos && !has(feature)) {
            missing += (missing.empty() ? "" : ", ") + std::string(feature.name);
        }
    }
    return missing;
}

#else

const char * required_cpu_features() {
    return "";
}

std::string missing_cpu_features() {
    return "";
}

#endif

}  // namespace ig
