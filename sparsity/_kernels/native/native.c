/* Gather convolutions on partly refined lattices, full and depthwise, and blocks of layers, on the CPU: the entries.
 *
 * Plain C, one shared object for all CPUs of an architecture: every instruction set is compiled in and chosen when
 * called. Called from __init__.py through ctypes; the entries give a `status`. The design in three lines: look up where
 * the neighbours of a block of active rows are, multiply them from there in register tiles, finish in cache.
 */
#include "native.h"
#include "threads.h"

enum instructions { PORTABLE = 0, AVX2 = 1, AVX512 = 2, AVX512_BF16 = 3 };

#define PORTABLE_NAME(x) x##_portable
#define AVX2_NAME(x) x##_avx2
#define AVX512_NAME(x) x##_avx512
#define AVX512_BF16_NAME(x) x##_avx512_bf16

/* Portable: whatever the compiler makes of 8 floats, two registers of SSE or NEON. */
#define NAME(x) PORTABLE_NAME(x)
#define TARGET
#define LANES 8
#define WIDEST 1
#define ROWS_1 6
#include "tile.h"
INLINE uint32_t positive_portable(vector_portable value)
{
    const integers_portable bits = (value > 0.0f) & (integers_portable){1, 2, 4, 8, 16, 32, 64, 128};
    return (uint32_t)(bits[0] | bits[1] | bits[2] | bits[3] | bits[4] | bits[5] | bits[6] | bits[7]);
}
#include "set.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define NAME(x) AVX2_NAME(x)
#define TARGET __attribute__((target("avx2,fma")))
#define LANES 8
#define WIDEST 2
#define ROWS_2 6
#define ROWS_1 12
#include "tile.h"
TARGET INLINE uint32_t positive_avx2(vector_avx2 value)
{
    return (uint32_t)_mm256_movemask_ps(_mm256_cmp_ps((__m256)value, _mm256_setzero_ps(), _CMP_GT_OQ));
}
#include "set.h"

#define NAME(x) AVX512_NAME(x)
#define TARGET __attribute__((target("avx512f,fma")))
#define LANES 16
#define WIDEST 4
#define ROWS_4 6
#define ROWS_2 12
#define ROWS_1 12
#include "tile.h"
TARGET INLINE uint32_t positive_avx512(vector_avx512 value)
{
    return _mm512_cmp_ps_mask((__m512)value, _mm512_setzero_ps(), _CMP_GT_OQ);
}
#include "set.h"

#define NAME(x) AVX512_BF16_NAME(x)
#define TARGET __attribute__((target("avx512f,avx512bf16,fma")))
#define LANES 16
#define WIDEST 4
#define ROWS_4 6
#define ROWS_2 12
#define ROWS_1 12
#define BFLOAT16
#include "tile.h"
TARGET INLINE uint32_t positive_avx512_bf16(vector_avx512_bf16 value)
{
    return _mm512_cmp_ps_mask((__m512)value, _mm512_setzero_ps(), _CMP_GT_OQ);
}
#include "set.h"
#endif

/* Whether this CPU has an instruction set. */
int sps_has(int instructions)
{
    switch (instructions) {
    case PORTABLE: return 1;
#if defined(__x86_64__)
    case AVX2: return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case AVX512: return __builtin_cpu_supports("avx512f");
    case AVX512_BF16: return __builtin_cpu_supports("avx512bf16");
#endif
    default: return 0;
    }
}

int sps_convolution(const struct convolution *c, int instructions, int64_t num_threads)
{
    switch (instructions) {
#if defined(__x86_64__)
    case AVX512_BF16: return convolution_avx512_bf16(c, num_threads);
    case AVX512: return convolution_avx512(c, num_threads);
    case AVX2: return convolution_avx2(c, num_threads);
#endif
    default: return convolution_portable(c, num_threads);
    }
}

int sps_weight_gradient(const struct gradient *g, int instructions, int64_t num_threads)
{
    switch (instructions) {
#if defined(__x86_64__)
    case AVX512: return weight_gradients_avx512(g, num_threads);
    case AVX2: return weight_gradients_avx2(g, num_threads);
#endif
    default: return weight_gradients_portable(g, num_threads);
    }
}

int sps_passive_gradient(const struct gradient *g, int instructions, int64_t num_threads)
{
    switch (instructions) {
#if defined(__x86_64__)
    case AVX512: return passive_gradients_avx512(g, num_threads);
    case AVX2: return passive_gradients_avx2(g, num_threads);
#endif
    default: return passive_gradients_portable(g, num_threads);
    }
}

int sps_depthwise(const struct depthwise *d, int instructions, int64_t num_threads)
{
    switch (instructions) {
#if defined(__x86_64__)
    case AVX512: return depthwise_avx512(d, num_threads);
    case AVX2: return depthwise_avx2(d, num_threads);
#endif
    default: return depthwise_portable(d, num_threads);
    }
}

int sps_feedforward(const struct feedforward *f, int instructions, int64_t num_threads)
{
    switch (instructions) {
#if defined(__x86_64__)
    case AVX512: return feedforward_avx512(f, num_threads);
    case AVX2: return feedforward_avx2(f, num_threads);
#endif
    default: return feedforward_portable(f, num_threads);
    }
}

/* masked[branch][row][out] = the gradient [A O] where the branch was above zero, else 0: one read of each. */
void sps_mask(int64_t num_active, int64_t num_branches, int64_t num_out, const float *gradient, const uint8_t *signs,
              float *masked)
{
    const int64_t sign_bytes = (num_out + 7) / 8;
    for (int64_t row = 0; row < num_active; row++)
        for (int64_t branch = 0; branch < num_branches; branch++) {
            const uint8_t *bits = signs + (row * num_branches + branch) * sign_bytes;
            uint32_t *to = (uint32_t *)masked + (branch * num_active + row) * num_out;
            const uint32_t *from = (const uint32_t *)gradient + row * num_out;
            for (int64_t byte = 0; byte < sign_bytes; byte++)
                for (int64_t bit = 0; bit < smaller(8, num_out - 8 * byte); bit++)
                    to[8 * byte + bit] = from[8 * byte + bit] & -(uint32_t)(bits[byte] >> bit & 1);
        }
}
