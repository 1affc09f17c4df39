/* Register tiles: a few rows times one panel of packed weights, for one instruction set.
 *
 * Included once per instruction set with
 *   NAME(x)   x with the suffix of the set          TARGET   the attribute that turns the set on
 *   LANES     floats in a register                  WIDEST   registers in the widest panel: 4, 2 or 1
 *   ROWS_4, ROWS_2, ROWS_1   rows of a tile in a panel of that width, divisors of BLOCK, up to MOST_ROWS
 *   BFLOAT16  defined where features and weights are bfloat16 (AVX512-BF16); sums are always float
 * and followed by NAME(positive), one bit per lane that is above zero, which every set does in its own way.
 *
 * The vectors are the compiler's own (GCC and Clang), so the same lines are AVX-512, AVX2, SSE or NEON.
 */

typedef float NAME(vector) __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t NAME(integers) __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

#ifdef BFLOAT16
typedef uint16_t NAME(element);
#define STEP 2 /* features multiplied by one instruction */

TARGET INLINE NAME(vector) NAME(multiply_add)(NAME(vector) sum, const uint16_t *features, const uint16_t *weights)
{
    int32_t pair;
    memcpy(&pair, features, sizeof pair);
    return (NAME(vector))_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_epi32(pair),
                                          (__m512bh)_mm512_loadu_si512(weights));
}

/* To the nearest bfloat16, to even where two are as near. */
INLINE uint16_t NAME(rounded)(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    const uint32_t nearest = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    return (uint16_t)(value == value ? nearest : 0x7fc0);
}
#else
typedef float NAME(element);
#define STEP 1

TARGET INLINE NAME(vector) NAME(multiply_add)(NAME(vector) sum, const float *feature, const float *weights)
{
    return sum + *feature * *(const NAME(vector) *)weights;
}

INLINE float NAME(rounded)(float value) { return value; }
#endif

/* raw[row][lane] = sum over taps and features of source[tap][row][feature] * weight[tap][feature][lane].
 *
 * The sums stay in registers across all taps; `rows` and `width` are constants wherever this is inlined. Every output
 * is one chain of sums in the order of the taps, whatever tile it is in, so results do not depend on the split.
 * The rows of the next tile are asked for meanwhile, tap by tap: asked for sooner, they would be out of L1 again.
 */
TARGET INLINE void NAME(tile)(const int rows, const int width, const NAME(element) * const *source, int64_t num_taps,
                              int64_t tap_stride, int64_t num_in, const NAME(element) * weight, float *raw)
{
    const int64_t second_line = num_in * (int64_t)sizeof *weight > ALIGNMENT ? ALIGNMENT : 0;
    NAME(vector) sum[MOST_ROWS][4];
#pragma GCC unroll 12
    for (int row = 0; row < rows; row++)
#pragma GCC unroll 4
        for (int v = 0; v < width; v++)
            sum[row][v] = (NAME(vector)){0};
    for (int64_t tap = 0; tap < num_taps; tap++, source += tap_stride) {
        const NAME(element) * at[MOST_ROWS];
#pragma GCC unroll 12
        for (int row = 0; row < rows; row++) {
            at[row] = source[row];
            __builtin_prefetch(source[rows + row]);
            __builtin_prefetch((const char *)source[rows + row] + second_line); /* more lines follow by themselves */
        }
        for (int64_t feature = 0; feature + STEP <= num_in; feature += STEP, weight += STEP * width * LANES) {
#pragma GCC unroll 12
            for (int row = 0; row < rows; row++)
#pragma GCC unroll 4
                for (int v = 0; v < width; v++)
                    sum[row][v] = NAME(multiply_add)(sum[row][v], at[row] + feature, weight + STEP * v * LANES);
        }
#ifdef BFLOAT16
        if (num_in % STEP) { /* the second of the last pair is no feature of this row: take a zero for it */
            for (int row = 0; row < rows; row++) {
                const NAME(element) last[STEP] = {at[row][num_in - 1], 0};
                for (int v = 0; v < width; v++)
                    sum[row][v] = NAME(multiply_add)(sum[row][v], last, weight + STEP * v * LANES);
            }
            weight += STEP * width * LANES;
        }
#endif
    }
#pragma GCC unroll 12
    for (int row = 0; row < rows; row++)
#pragma GCC unroll 4
        for (int v = 0; v < width; v++)
            *(NAME(vector) *)(raw + (row * width + v) * LANES) = sum[row][v];
}
