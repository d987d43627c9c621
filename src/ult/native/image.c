/* Writes images of 8 bits as symbols: colour, block DCT, levels and runs of zeros, a tile at a time.

What the levels are is said by ult.codecs.dct.transform, and how they are written by ult.codecs.dct.spelling and
ult.codecs.dct.placed, which do the same in Numba; tests compare the two on hostile images. Vectors are those of GCC and
clang, which make of them what the processor has. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "machine.h"

#if defined(__GNUC__) || defined(__clang__)
#include "image.h"
#include "image_write.h"

typedef float Floats __attribute__((vector_size(32)));
typedef int32_t Whole __attribute__((vector_size(32)));
typedef float Anywhere __attribute__((vector_size(32), aligned(4), may_alias));
#define LOAD(from) (*(const Anywhere *)(from))
#define STORE(to, value) (*(Anywhere *)(to) = (value))
#define CONVERT(value, kind) __builtin_convertvector(value, kind)
#define MAGNITUDE(value) ((Floats)((Whole)(value) & INT32_MAX))

#ifdef AVX2
#define TARGET __attribute__((target("avx2,bmi,bmi2,popcnt,fma")))
#define NAME(f) f##_avx2
#define UNZIP(p, rg, gb) unzip_avx2(p, rg, gb)
#define MAC(a, b, c) ((Floats)_mm256_fmadd_ps(a, b, c))
#define SPREAD(from) ((Floats)_mm256_broadcast_ss(from))
#define PAIRS(v, low, high) \
    ((Whole)_mm256_madd_epi16((__m256i)(v), _mm256_set1_epi32((int)((unsigned)(low) & 0xFFFF) | (int)((unsigned)(high) << 16))))
#define CLIPPED(v) ((Whole)_mm256_min_epi32(_mm256_max_epi32((__m256i)(v), _mm256_setzero_si256()), _mm256_set1_epi32(255)))
#define LOWER(a, b) ((Floats)_mm256_min_ps(a, b))
#define HIGHER(a, b) ((Floats)_mm256_max_ps(a, b))
#define BITS(v) ((uint64_t)(unsigned)_mm256_movemask_ps(v))

/* Read 8 pixels of 3 channels as pairs (red, green) and (green, blue). */
TARGET INLINE void unzip_avx2(const uint8_t *pixels, Whole *rg, Whole *gb) {
    const __m256i from = _mm256_setr_epi8(0, -1, 1, -1, 3, -1, 4, -1, 6, -1, 7, -1, 9, -1, 10, -1, 4, -1, 5, -1, 7, -1, 8,
                                          -1, 10, -1, 11, -1, 13, -1, 14, -1);
    __m128i first = _mm_loadu_si128((const __m128i *)pixels), last = _mm_loadu_si128((const __m128i *)(pixels + 8));
    __m256i both = _mm256_set_m128i(last, first);
    *rg = (Whole)_mm256_shuffle_epi8(both, from);
    *gb = (Whole)_mm256_shuffle_epi8(both, _mm256_sub_epi8(from, _mm256_cmpgt_epi8(from, _mm256_set1_epi8(-1))));
}
#include "image_tile.h"
#undef TARGET
#undef NAME
#undef UNZIP
#undef MAC
#undef SPREAD
#undef PAIRS
#undef CLIPPED
#undef LOWER
#undef HIGHER
#undef BITS
#endif

INLINE uint64_t signs(const float *values) {
    uint64_t bits = 0;
    for (int lane = 0; lane < 8; lane++) bits |= (uint64_t)(values[lane] < 0) << lane;
    return bits;
}

#define TARGET
#define NAME(f) f##_plain
#define MAC(a, b, c) ((a) * (b) + (c))
#define SPREAD(from) (*(from) + (Floats){0})
#define PAIRS(v, low, high) (((v) & 0xFFFF) * (low) + ((v) >> 16) * (high))
#define CLIPPED(v) ((((v) & ((v) > 0)) | ((v) > 255)) & 255)
#define PICK(there, a, b) ((Floats)(((Whole)(a) & (there)) | ((Whole)(b) & ~(there))))
#define LOWER(a, b) PICK((a) < (b), a, b)
#define HIGHER(a, b) PICK((a) < (b), b, a)
#define BITS(v) __extension__({ float lanes[8]; STORE(lanes, v); signs(lanes); })

#include "image_tile.h"

/* Encode some planes of an image, whose channels begin at `pixels`; `levels` and `masks` are those of the first. */
static Picture encoded(const Plane *luma, const Plane *chroma, const uint8_t *pixels, const int64_t *shape, int64_t planes,
                       int16_t *levels, uint64_t *masks, int plain) {
    Picture picture = {luma, chroma, pixels, shape[0], shape[1], shape[2], planes, {{0}}, 0, {0}, levels, masks};
    int64_t side = side_of(&picture);
    for (int64_t p = 0; p < planes; p++) {
        for (int d = 0; d < 2; d++) picture.blocks[p][d] = (shape[d] - 1) / plane_of(&picture, (int)p)->side + 1;
        picture.all_blocks += picture.blocks[p][0] * picture.blocks[p][1];
    }
    for (int64_t top = 0; top < shape[0]; top += side)
        for (int64_t left = 0; left < shape[1]; left += side) {
#ifdef AVX2
            if (!plain && has_avx2()) {
                encode_tile_avx2(&picture, top, left);
                continue;
            }
#endif
            encode_tile_plain(&picture, top, left);
        }
    return picture;
}

/* Write the planes of a picture, of which the first is plane `number` of the image. */
static uint32_t *write_planes(Out *out, uint32_t *start, const Picture *picture, int64_t number, const Layout *layout) {
    const int16_t *levels = picture->levels;
    const uint64_t *masks = picture->masks;
    int64_t kept = picture->luma->kept, colour[3];
    colour_of(picture->bases, picture->planes, colour);
    for (int64_t p = 0; p < picture->planes; p++) {
        const int64_t *blocks = picture->blocks[p];
        const Plane *plane = plane_of(picture, (int)p);
        int64_t offset = nearest(picture->bases[p] * plane->side, plane->steps[0]);
        if (layout->places) write_placed_plane(out, number + p, levels, masks, kept, blocks, colour[p], offset, layout);
        else start = write_plane(out, start, levels, masks, kept, blocks, colour[p]);
        levels += blocks[0] * blocks[1] * kept;
        masks += blocks[0] * blocks[1];
    }
    return start;
}

/* Write the symbols of the images first..images of shapes[images][3], contiguous at their addresses, up to the first
   for which there is no room; used[0] and used[1] are how many of `symbols` and `ends` (of patches) are used, and
   records[i] becomes how many patches end with image i. Return how many images are written, -1 if memory ran out. */
PUBLIC int64_t ult_image_symbols(const Plane *luma, const Plane *chroma, const Layout *layout, const uintptr_t *addresses,
                                 const int64_t *shapes, int64_t first, int64_t images, uint32_t *symbols, int64_t room,
                                 int64_t *ends, int64_t room_of_ends, int64_t *used, int64_t *records, int plain) {
    int64_t most = 0, done = first;
    for (int64_t i = 3 * first; i < 3 * images; i += 3) {
        int64_t blocks = ((shapes[i] - 1) / 8 + 1) * ((shapes[i + 1] - 1) / 8 + 1) * shapes[i + 2];
        most = blocks > most ? blocks : most;
    }
    int16_t *levels = malloc((most + 1) * luma->kept * sizeof(int16_t));
    uint64_t *masks = malloc((most + 1) * sizeof(uint64_t));
    for (; levels && masks && done < images; done++) {
        const int64_t *shape = shapes + 3 * done;
        const uint8_t *pixels = (const uint8_t *)addresses[done];
        int64_t colours = shape[2] < 3 ? 1 : 3, nonzero = 0;
        Picture alpha, picture = encoded(luma, chroma, pixels, shape, colours, levels, masks, plain);
        int64_t blocks = picture.all_blocks;
        if (shape[2] == 4) {
            alpha = encoded(luma, chroma, pixels + 3, shape, 1, levels + blocks * luma->kept, masks + blocks, plain);
            blocks += alpha.all_blocks;
        }
        for (int64_t b = 0; b < blocks; b++) nonzero += many_bits(masks[b]);
        int64_t need = layout->places ? PLACED_HEADER + 14 * blocks + 6 * nonzero : HEADER + 8 * blocks + 3 * nonzero;
        int64_t patches = layout->places ? 1 + 5 * blocks : need / (LONGEST - LARGEST_BLOCK) + 1;
        if (need > room - used[0] || patches > room_of_ends - used[1]) break;
        Out out = {symbols + used[0], ends + used[1], symbols};
        uint32_t *start = out.at;
        const int64_t header[3] = {shape[2] > 1 ? shape[2] : 0, shape[0], shape[1]};
        for (int k = 0; k < 3; k++) write_number(&out, header[k], layout->places ? 3 : 7);
        start = write_planes(&out, start, &picture, 0, layout);
        if (shape[2] == 4) write_planes(&out, start, &alpha, 3, layout);
        end_patch(&out, out.at);
        used[0] = out.at - symbols;
        used[1] = records[done] = out.ends - ends;
    }
    int64_t found = levels && masks ? done : -1;
    free(levels);
    free(masks);
    return found;
}

#endif
