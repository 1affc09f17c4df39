/* One range of active rows through all branches of a gather convolution, for one instruction set (see tile.h).
 *
 * No im2col: a block of rows looks up where its neighbours are, the tiles read them there. Bias, activation, signs and
 * the sum of the branches are done while the results of a tile are in cache, and the output is written once.
 */

/* Padded width of all panels together. */
INLINE int64_t NAME(padded)(int64_t num_out)
{
    int64_t start = 0;
    while (start < num_out)
        start += panel_width(num_out - start, LANES, WIDEST) * LANES;
    return start;
}

/* The weights of one tap and feature to the outputs of a panel, STEP apart, padded with zeros. */
TARGET INLINE void NAME(take)(const NAME(element) * weight, const struct weight_view *view, int64_t start,
                              int64_t columns, int64_t tap, int64_t in, NAME(element) * taken)
{
    const int64_t real = in < view->num_in ? smaller(columns, view->num_out - start) : 0;
    const NAME(element) *from = weight + view->first + start * view->out + tap * view->tap + in * view->in;
    for (int64_t column = 0; column < real; column++)
        taken[column * STEP] = from[column * view->out];
    for (int64_t column = real; column < columns; column++)
        taken[column * STEP] = 0;
}

/* The weights of a branch as [panel][tap][feature / STEP][lane][STEP], padded with zeros.
 *
 * The taps of a feature are neighbours where torch stores a weight [O F T]: taken in turn, its lines are read once.
 */
TARGET static void NAME(pack)(const NAME(element) * weight, const struct weight_view *view, NAME(element) * packed)
{
    const int64_t padded_in = round_up(view->num_in, STEP);
    for (int64_t start = 0, columns; start < view->num_out; start += columns) {
        columns = panel_width(view->num_out - start, LANES, WIDEST) * LANES;
        for (int64_t in = 0; in < padded_in; in++)
            for (int64_t tap = 0; tap < view->num_taps; tap++)
                NAME(take)(weight, view, start, columns, tap, in,
                           packed + (tap * padded_in + in / STEP * STEP) * columns + in % STEP);
        packed += view->num_taps * padded_in * columns;
    }
}

/* Multiply `count` rows tile by tile, one panel.
 *
 * Pointers up to the end of the tile after the last must be there, and those of the last tile must be readable. Not
 * inlined: inside a larger function the registers do not suffice, and AVX2 takes twice as long.
 */
TARGET __attribute__((noinline)) static void NAME(multiply)(int width, int64_t count,
                                                            const NAME(element) * const *source, int64_t num_taps,
                                                            int64_t tap_stride, int64_t num_in,
                                                            const NAME(element) * weight, float *raw)
{
    for (int64_t row = 0; row < count;) {
        switch (width) {
#if WIDEST >= 4
        case 4:
            NAME(tile)(ROWS_4, 4, source + row, num_taps, tap_stride, num_in, weight, raw + row * 4 * LANES);
            row += ROWS_4;
            break;
#endif
#if WIDEST >= 2
        case 2:
            NAME(tile)(ROWS_2, 2, source + row, num_taps, tap_stride, num_in, weight, raw + row * 2 * LANES);
            row += ROWS_2;
            break;
#endif
        default:
            NAME(tile)(ROWS_1, 1, source + row, num_taps, tap_stride, num_in, weight, raw + row * LANES);
            row += ROWS_1;
        }
    }
}

/* What a thread works with. Pointers of rows that do not exist stay valid: a tile is always computed in full. */
struct NAME(scratch) {
    struct places places;          /* of a block */
    struct places first_children;  /* of its quads: the first of every four of them */
    int32_t *at;                   /* [BLOCK]: cell numbers of neighbours */
    const NAME(element) * *source; /* [T or 16][BLOCK], tap-major, and one tile more: neighbours */
    float *raw;                    /* one panel of results before the bias */
    float *sum;                    /* [BLOCK][padded O]: branches added up */
    float *patch;                  /* Winograd: [16][BLOCK / 4][F] transformed inputs */
    const NAME(element) * zero;    /* a row of zeros */
};

/* The bias of one panel, zero where there is none. */
INLINE void NAME(take_bias)(const struct convolution *c, int64_t branch, int64_t start, float *bias)
{
    for (int64_t lane = 0; lane < WIDEST * LANES; lane++)
        bias[lane] = c->bias && start + lane < c->num_out ? c->bias[branch * c->num_out + start + lane] : 0;
}

/* Bias, signs, activation and the sum over branches for `count` rows of one panel. */
TARGET INLINE void NAME(finish)(const struct convolution *c, int64_t branch, int64_t first_row, int64_t count,
                                int64_t start, int width, const float *bias, const float *raw, float *sum)
{
    const int64_t sign_bytes = (c->num_out + 7) / 8, padded = NAME(padded)(c->num_out);
    for (int64_t row = 0; row < count; row++) {
        for (int v = 0; v < width; v++) {
            NAME(vector) value = *(const NAME(vector) *)(raw + (row * width + v) * LANES);
            value += *(const NAME(vector) *)(bias + v * LANES);
            if (c->signs) {
                const int64_t byte = start / 8 + v * LANES / 8;
                const uint32_t bits = NAME(positive)(value);
                uint8_t *signs = c->signs + ((first_row + row) * c->lattice.num_branches + branch) * sign_bytes;
                for (int64_t next = 0; next < LANES / 8 && byte + next < sign_bytes; next++)
                    signs[byte + next] = (uint8_t)(bits >> (8 * next));
            }
            if (c->has_activation) /* what is below zero becomes zero; NaN stays, as in torch */
                value = (NAME(vector))(~(NAME(integers))(value < 0.0f) & (NAME(integers))value);
            *(NAME(vector) *)(sum + row * padded + start + v * LANES) += value;
        }
    }
}

/* Addresses of the neighbours of `count` places at one offset. Not inlined: alone it has registers enough. */
TARGET __attribute__((noinline)) static void NAME(look_up)(const struct convolution *c, int64_t branch,
                                                           const struct places *places, int64_t count, int32_t down,
                                                           int32_t right, const struct NAME(scratch) * scratch,
                                                           const NAME(element) * *source, int *status)
{
    const struct lattice lattice = c->lattice;
    const uintptr_t zero = (uintptr_t)scratch->zero;
    const uintptr_t features = (uintptr_t)((const NAME(element) *)c->features + branch * c->branch_stride);
    const int64_t first_row = c->first_row, row_bytes = c->num_in * (int64_t)sizeof(NAME(element));
    const int32_t *at = scratch->at;
    int32_t is_wrong = 0;
    NAME(find)(&lattice, places, count, down, right, scratch->at);
    for (int64_t i = 0; i < count; i++) {
        const int64_t row = NAME(shown)(&lattice, at[i], &is_wrong) - first_row;
        const uintptr_t is_none = (uintptr_t)(row >> 63); /* all bits or none: active beside passive is unpredictable */
        const uintptr_t from = features + (uintptr_t)(row * row_bytes);
        source[i] = (const NAME(element) *)((from & ~is_none) | (zero & is_none));
    }
    if (is_wrong)
        *status = WRONG_INDEX;
}

TARGET static void NAME(direct)(const struct convolution *c, int64_t branch, int64_t begin, int64_t count,
                                const NAME(element) * weight, const struct NAME(scratch) * scratch, int *status)
{
    const int64_t side = c->lattice.kernel_size, num_taps = side * side, padded = NAME(padded)(c->num_out);
    for (int64_t tap = 0; tap < num_taps; tap++)
        NAME(look_up)(c, branch, &scratch->places, BLOCK, tap_offset(&c->lattice, branch, tap / side),
                      tap_offset(&c->lattice, branch, tap % side), scratch, scratch->source + tap * BLOCK, status);
    for (int64_t start = 0; start < padded;) {
        const int width = panel_width(c->num_out - start, LANES, WIDEST);
        float bias[WIDEST * LANES];
        NAME(take_bias)(c, branch, start, bias);
        NAME(multiply)(width, count, scratch->source, num_taps, BLOCK, c->num_in, weight, scratch->raw);
        NAME(finish)(c, branch, begin, count, start, width, bias, scratch->raw, scratch->sum);
        weight += num_taps * round_up(c->num_in, STEP) * width * LANES;
        start += width * LANES;
    }
}

#ifndef BFLOAT16
#include "winograd.h"
#endif

/* Rows begin..end of the output, from the packed weights of every branch. */
TARGET static int NAME(convolve)(const void *job, const void *packed, int64_t begin, int64_t end)
{
    const struct convolution *c = job;
    const NAME(element) *const *weights = packed;
    const int64_t num_taps = c->lattice.kernel_size * c->lattice.kernel_size, padded = NAME(padded)(c->num_out);
    const int64_t num_sources = (num_taps > NUM_FREQUENCIES ? num_taps : NUM_FREQUENCIES) * BLOCK + MOST_ROWS;
    int32_t cell[BLOCK], row_in_lattice[BLOCK], column[BLOCK], at[BLOCK];
    int32_t first_cell[BLOCK / 4], first_row[BLOCK / 4], first_column[BLOCK / 4];
    int status = DONE;
    NAME(element) *zero = allocate((c->num_in + 1) * sizeof *zero);
    struct NAME(scratch) scratch = {
        .places = {cell, row_in_lattice, column},
        .first_children = {first_cell, first_row, first_column},
        .at = at,
        .source = allocate(num_sources * sizeof *scratch.source),
        .raw = allocate(4 * BLOCK * WIDEST * LANES * sizeof(float)),
        .sum = allocate(BLOCK * padded * sizeof(float)),
        .patch = allocate(NUM_FREQUENCIES * (BLOCK / 4) * c->num_in * sizeof(float)),
        .zero = zero,
    };
    if (!zero || !scratch.source || !scratch.raw || !scratch.sum || !scratch.patch)
        status = NO_MEMORY;
    else {
        memset(zero, 0, (c->num_in + 1) * sizeof *zero);
        for (int64_t n = 0; n < num_sources; n++)
            scratch.source[n] = zero;
    }
    for (; begin < end && status != NO_MEMORY; begin += BLOCK) {
        const int64_t count = smaller(BLOCK, end - begin);
        locate(&c->lattice, begin, count, BLOCK, &scratch.places, &status);
        for (int64_t quad = 0; quad < BLOCK / 4; quad++) {
            first_cell[quad] = cell[4 * quad];
            first_row[quad] = row_in_lattice[4 * quad];
            first_column[quad] = column[4 * quad];
        }
        memset(scratch.sum, 0, BLOCK * padded * sizeof(float));
        for (int64_t branch = 0; branch < c->lattice.num_branches; branch++) {
#ifndef BFLOAT16
            if (NAME(uses_winograd)(c, branch)) {
                NAME(winograd)(c, branch, begin, count, weights[branch], &scratch, &status);
                continue;
            }
#endif
            NAME(direct)(c, branch, begin, count, weights[branch], &scratch, &status);
        }
        for (int64_t row = 0; row < count; row++)
            for (int64_t n = 0; n < c->num_out; n++)
                ((NAME(element) *)c->out)[(begin + row) * c->num_out + n] =
                    NAME(rounded)(scratch.sum[row * padded + n]);
    }
    free(zero);
    free(scratch.source);
    free(scratch.raw);
    free(scratch.sum);
    free(scratch.patch);
    return status;
}
