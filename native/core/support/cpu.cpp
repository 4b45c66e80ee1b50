#include "support/cpu.h"

#include <cstdint>
#include <cstring>

#if defined(__x86_64__) || defined(_M_X64)
#    ifdef _MSC_VER
#        include <intrin.h>
#    else
#        include <cpuid.h>
#    endif
#    ifdef __linux__
#        include <sys/syscall.h>
#        include <unistd.h>
#    endif
#elif defined(__linux__)
#    include <sys/auxv.h>
#elif defined(__APPLE__)
#    include <sys/sysctl.h>
#elif defined(_WIN32)
#    include <windows.h>
#endif

namespace ig {

namespace {

#if defined(__x86_64__) || defined(_M_X64)

struct cpuid_bit {
    const char * name;
    unsigned     leaf;
    unsigned     subleaf;
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

void cpuid(unsigned leaf, unsigned subleaf, unsigned regs[4]) {
    regs[0] = regs[1] = regs[2] = regs[3] = 0;
#    ifdef _MSC_VER
    int most[4];
    __cpuid(most, 0);
    if (leaf <= unsigned(most[0])) {
        __cpuidex(reinterpret_cast<int *>(regs), int(leaf), int(subleaf));
    }
#    else
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

// Linux grants tiles to a process that asks; elsewhere nobody is asked.
bool is_granted(const cpuid_bit & feature) {
#    ifdef __linux__
    const long request_permission = 0x1023;
    const long tile_data          = 18;
    return feature.xcr0 != tiles || syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
#    else
    (void) feature;
    return true;
#    endif
}

bool has(const cpuid_bit & feature) {
    unsigned regs[4];
    cpuid(feature.leaf, feature.subleaf, regs);
    return (regs[feature.reg] >> feature.bit & 1) && (saved_register_state() & feature.xcr0) == feature.xcr0 &&
           is_granted(feature);
}

#elif defined(__linux__)

struct hwcap_bit {
    const char *  name;
    unsigned long entry;  // of the auxiliary vector
    int           bit;
};

const hwcap_bit known[] = {
    { "fp16",    AT_HWCAP,  10 },
    { "dotprod", AT_HWCAP,  20 },
    { "i8mm",    AT_HWCAP2, 13 },
};

bool has(const hwcap_bit & feature) {
    return getauxval(feature.entry) >> feature.bit & 1;
}

#elif defined(__APPLE__)

struct system_flag {
    const char * name;
    const char * sysctl;
};

const system_flag known[] = {
    { "fp16",    "hw.optional.arm.FEAT_FP16"    },
    { "dotprod", "hw.optional.arm.FEAT_DotProd" },
    { "i8mm",    "hw.optional.arm.FEAT_I8MM"    },
};

bool has(const system_flag & feature) {
    int    value = 0;
    size_t size  = sizeof(value);
    return sysctlbyname(feature.sysctl, &value, &size, nullptr, 0) == 0 && value != 0;
}

#else

struct processor_feature {
    const char * name;
    DWORD        number;
};

const processor_feature known[] = {
    { "fp16",
     43             }, // PF_ARM_V82_DP: no processor that runs Windows has one without the other, and only newer Windows tells them apart
    { "dotprod", 43 },
    { "i8mm",    66 }, // PF_ARM_V82_I8MM
};

bool has(const processor_feature & feature) {
    return IsProcessorFeaturePresent(feature.number);
}

#endif

}  // namespace

bool cpu_has(const char * feature) {
    for (const auto & one : known) {
        if (strcmp(one.name, feature) == 0) {
            return has(one);
        }
    }
    return false;
}

}  // namespace ig
