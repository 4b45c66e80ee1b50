// Included before code that uses AMX tiles. gcc's intrinsics are assembly that does not name all the memory it reads: ldtilecfg reads 64
// bytes, of which gcc before 11.5, 12.4 and 13.3 names 8, and tileloadd names none. What was stored there may then be dropped as never
// read, and the first use of a tile raises SIGILL.
#if defined(__AMX_TILE__) && defined(__GNUC__) && !defined(__clang__)
#    include <immintrin.h>

#    undef _tile_loadconfig
#    define _tile_loadconfig(config) __asm__ volatile("ldtilecfg %0" ::"m"(*(const char (*)[64])(config)))

#    ifdef _tile_loadd_internal
#        undef _tile_loadd
#        define _tile_loadd(tile, base, stride)             \
            do {                                            \
                __asm__ volatile("" ::: "memory");          \
                _tile_loadd_internal(tile, (base), stride); \
            } while (0)
#    endif
#endif
