/* What differs between processors and compilers. */
#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define AVX2 1
#include <cpuid.h>
#include <immintrin.h>
#endif

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "bytes are compared in words whose first byte is the lowest; the kernels in Numba do without"
#endif

#ifdef _WIN32
#define PUBLIC __declspec(dllexport)
#else
#define PUBLIC __attribute__((visibility("default")))
#endif

#if defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
#define INLINE static __forceinline
#define LIKELY(x) (x)
#define PREFETCH(p) ((void)0)
static __forceinline int first_bit(uint64_t bits) { unsigned long at; _BitScanForward64(&at, bits); return (int)at; }
#else
#define INLINE static inline __attribute__((always_inline))
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define PREFETCH(p) __builtin_prefetch(p)
INLINE int first_bit(uint64_t bits) { return __builtin_ctzll(bits); }
INLINE int many_bits(uint64_t bits) { return __builtin_popcountll(bits); }
#endif
#define UNLIKELY(x) (!LIKELY(!(x)))

#ifdef AVX2
/* Whether this processor has AVX2, FMA and BMI, and the system keeps its registers. */
static int asked_for_avx2(void) {
    unsigned a, b, c, d, low, high;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE) || !(c & bit_POPCNT) || !(c & bit_FMA)) return 0;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    if ((low & 6) != 6 || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
    return (b & bit_AVX2) && (b & bit_BMI) && (b & bit_BMI2);
}

static int has_avx2(void) {
    static int known = -1; /* asking takes a microsecond, more in a virtual machine */
    if (known < 0) known = asked_for_avx2();
    return known;
}
#endif
