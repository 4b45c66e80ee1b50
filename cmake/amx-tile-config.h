// Included before ggml's matrix multiplication on AMX tiles. gcc up to 12 tells the optimiser that ldtilecfg reads 8 bytes; it reads 64,
// and the stores to the others are dropped, so that the first use of a tile raises SIGILL.
#if defined(__AMX_TILE__) && defined(__GNUC__)
#include <immintrin.h>

#undef _tile_loadconfig
#define _tile_loadconfig(config) __asm__ volatile("ldtilecfg %0" ::"m"(*(const char(*)[64])(config)))
#endif
