// Multiplies on AMX tiles as ggml does, permission first; exits with 0 only where the kernel grants it and the product is right.
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

int main() {
    const int request_permission = 0x1023;
    const int tile_data          = 18;
    if (syscall(SYS_arch_prctl, request_permission, tile_data) != 0) {
        return 1;
    }

    struct {
        unsigned char  palette       = 1;
        unsigned char  start_row     = 0;
        unsigned char  reserved[14]  = {};
        unsigned short row_bytes[16] = { 4, 4, 4 };
        unsigned char  rows[16]      = { 1, 1, 1 };
    } config;

    signed char a[4]    = { 1, -2, 3, 4 };
    signed char b[4]    = { 5, 6, -7, 8 };
    int         product = 0;
    __asm__ volatile("" ::"r"(&config), "r"(a), "r"(b) : "memory");  // gcc's intrinsics do not name all that they read
    _tile_loadconfig(&config);
    _tile_zero(0);
    _tile_loadd(1, a, 4);
    _tile_loadd(2, b, 4);
    _tile_dpbssd(0, 1, 2);
    _tile_stored(0, &product, 4);
    _tile_release();
    return product == 1 * 5 - 2 * 6 - 3 * 7 + 4 * 8 ? 0 : 1;
}
