/* Depthwise convolutions of several branches and their gradients, in float, for one instruction set (see tile.h).
 *
 * There are as few multiply-adds as numbers read, so all is about reading: rows are read where they are, a tile of rows
 * shares the weights that it reads, and sums stay in registers across all taps of all branches. The number of features
 * is a multiple of every LANES. Every number is one chain of sums in an order that does not depend on how the work is
 * split: forward it is split by rows, the gradients by features, so that no two threads add to the same number.
 */

#define DEPTHWISE_ROWS 64  /* active rows per block: what they look up fits into L1 */
#define DEPTHWISE_TILE 4   /* rows that share what is read of the weight */
#define DEPTHWISE_TAPS 9   /* whose gradients are in registers together */

/* Registers in the widest panel that `remaining` features fill. */
INLINE int NAME(full_width)(int64_t remaining)
{
    int width = WIDEST;
    while (width * LANES > remaining)
        width /= 2;
    return width;
}

/* Where a block of active rows is, and the rows that its neighbours show: [D T][DEPTHWISE_ROWS]. */
struct NAME(block) {
    int32_t cell[DEPTHWISE_ROWS], row[DEPTHWISE_ROWS], column[DEPTHWISE_ROWS];
    int32_t *shown;
};

TARGET static void NAME(look_around)(const struct lattice *lattice, int64_t first, int64_t count,
                                     struct NAME(block) * block, int *status)
{
    const int64_t side = lattice->kernel_size, num_taps = side * side;
    const struct places places = {block->cell, block->row, block->column};
    locate(lattice, first, count, DEPTHWISE_ROWS, &places, status);
    for (int64_t branch = 0; branch < lattice->num_branches; branch++)
        for (int64_t tap = 0; tap < num_taps; tap++)
            NAME(find_rows)(lattice, &places, DEPTHWISE_ROWS, tap_offset(lattice, branch, tap / side),
                            tap_offset(lattice, branch, tap % side),
                            block->shown + (branch * num_taps + tap) * DEPTHWISE_ROWS, status);
}

INLINE int64_t NAME(all_taps)(const struct lattice *lattice)
{
    return lattice->num_branches * lattice->kernel_size * lattice->kernel_size;
}

INLINE int NAME(reserve_block)(const struct lattice *lattice, struct NAME(block) * block)
{
    block->shown = allocate(NAME(all_taps)(lattice) * DEPTHWISE_ROWS * sizeof(int32_t));
    return block->shown ? DONE : NO_MEMORY;
}

/* One panel of features of a tile of rows, of which `rows` are written. */
TARGET INLINE void NAME(depthwise_tile)(const int width, const struct depthwise *d, const int32_t *shown,
                                        int64_t num_taps, int64_t start, int64_t rows, float *out)
{
    const int64_t stride = d->num_features;
    const float *features = d->features + start, *weight = d->weight + start;
    NAME(vector) sum[DEPTHWISE_TILE][4];
#pragma GCC unroll 4
    for (int row = 0; row < DEPTHWISE_TILE; row++)
#pragma GCC unroll 4
        for (int v = 0; v < width; v++)
            sum[row][v] = d->bias ? *(const NAME(vector) *)(d->bias + start + v * LANES) : (NAME(vector)){0};
    for (int64_t tap = 0; tap < num_taps; tap++, shown += DEPTHWISE_ROWS, weight += stride) {
        const float *at[DEPTHWISE_TILE];
#pragma GCC unroll 4
        for (int row = 0; row < DEPTHWISE_TILE; row++)
            at[row] = features + shown[row] * stride;
#pragma GCC unroll 4
        for (int v = 0; v < width; v++) {
            const NAME(vector) factor = *(const NAME(vector) *)(weight + v * LANES);
#pragma GCC unroll 4
            for (int row = 0; row < DEPTHWISE_TILE; row++)
                sum[row][v] += *(const NAME(vector) *)(at[row] + v * LANES) * factor;
        }
    }
#pragma GCC unroll 4
    for (int row = 0; row < DEPTHWISE_TILE; row++)
        if (row < rows)
#pragma GCC unroll 4
            for (int v = 0; v < width; v++)
                *(NAME(vector) *)(out + row * stride + start + v * LANES) = sum[row][v];
}

/* Rows begin..end of the output. */
TARGET static int NAME(depthwise_rows)(const void *job, const void *no_weights, int64_t begin, int64_t end)
{
    (void)no_weights;
    const struct depthwise *d = job;
    const int64_t num_taps = NAME(all_taps)(&d->lattice);
    struct NAME(block) block;
    int status = NAME(reserve_block)(&d->lattice, &block);
    for (int64_t first = begin; first < end && status != NO_MEMORY; first += DEPTHWISE_ROWS) {
        const int64_t count = smaller(DEPTHWISE_ROWS, end - first);
        NAME(look_around)(&d->lattice, first, count, &block, &status);
        for (int64_t row = 0; row < count; row += DEPTHWISE_TILE) {
            const int64_t rows = smaller(DEPTHWISE_TILE, count - row);
            float *out = d->out + (first + row) * d->num_features;
            for (int64_t start = 0, width; start < d->num_features; start += width * LANES) {
                width = NAME(full_width)(d->num_features - start);
                switch (width) {
#if WIDEST >= 4
                case 4: NAME(depthwise_tile)(4, d, block.shown + row, num_taps, start, rows, out); break;
#endif
#if WIDEST >= 2
                case 2: NAME(depthwise_tile)(2, d, block.shown + row, num_taps, start, rows, out); break;
#endif
                default: NAME(depthwise_tile)(1, d, block.shown + row, num_taps, start, rows, out);
                }
            }
        }
    }
    free(block.shown);
    return status;
}

/* Add the gradient of one active row, through every tap, to the rows that the row has read. */
TARGET INLINE void NAME(give_back)(const int width, const struct depthwise *d, const int32_t *shown, int64_t num_taps,
                                   const float *gradient, int64_t start)
{
    const int64_t stride = d->num_features;
    const float *weight = d->weight + start;
    NAME(vector) given[4];
#pragma GCC unroll 4
    for (int v = 0; v < width; v++)
        given[v] = *(const NAME(vector) *)(gradient + start + v * LANES);
    for (int64_t tap = 0; tap < num_taps; tap++, shown += DEPTHWISE_ROWS, weight += stride) {
        float *to = d->out + *shown * stride + start;
#pragma GCC unroll 4
        for (int v = 0; v < width; v++)
            *(NAME(vector) *)(to + v * LANES) += given[v] * *(const NAME(vector) *)(weight + v * LANES);
    }
}

/* Features begin..end of the gradient of all rows of the buffer; row 0 gets what is outside the lattices. */
TARGET static int NAME(depthwise_buffer)(const void *job, const void *no_weights, int64_t begin, int64_t end)
{
    (void)no_weights;
    const struct depthwise *d = job;
    const int64_t num_taps = NAME(all_taps)(&d->lattice), num_active = d->lattice.num_active;
    struct NAME(block) block;
    int status = NAME(reserve_block)(&d->lattice, &block);
    for (int64_t first = 0; first < num_active && status != NO_MEMORY; first += DEPTHWISE_ROWS) {
        const int64_t count = smaller(DEPTHWISE_ROWS, num_active - first);
        NAME(look_around)(&d->lattice, first, count, &block, &status);
        for (int64_t row = 0; row < count; row++) {
            const float *gradient = d->gradient + (first + row) * d->num_features;
            for (int64_t start = begin, width; start < end; start += width * LANES) {
                width = NAME(full_width)(end - start);
                switch (width) {
#if WIDEST >= 4
                case 4: NAME(give_back)(4, d, block.shown + row, num_taps, gradient, start); break;
#endif
#if WIDEST >= 2
                case 2: NAME(give_back)(2, d, block.shown + row, num_taps, gradient, start); break;
#endif
                default: NAME(give_back)(1, d, block.shown + row, num_taps, gradient, start);
                }
            }
        }
    }
    free(block.shown);
    return status;
}

/* Features begin..end of the gradient of the weight. Blocks are added up apart, so rounding does not grow with A. */
TARGET static int NAME(depthwise_weight)(const void *job, const void *no_weights, int64_t begin, int64_t end)
{
    (void)no_weights;
    const struct depthwise *d = job;
    const int64_t stride = d->num_features, num_taps = NAME(all_taps)(&d->lattice), num_active = d->lattice.num_active;
    struct NAME(block) block;
    int status = NAME(reserve_block)(&d->lattice, &block);
    for (int64_t first = 0; first < num_active && status != NO_MEMORY; first += DEPTHWISE_ROWS) {
        const int64_t count = smaller(DEPTHWISE_ROWS, num_active - first);
        NAME(look_around)(&d->lattice, first, count, &block, &status);
        for (int64_t tap = 0; tap < num_taps; tap += DEPTHWISE_TAPS)
            for (int64_t start = begin; start < end; start += LANES) {
                const int32_t *shown[DEPTHWISE_TAPS];
                NAME(vector) sum[DEPTHWISE_TAPS];
#pragma GCC unroll 9
                for (int n = 0; n < DEPTHWISE_TAPS; n++) { /* taps that do not exist repeat the last, for nothing */
                    shown[n] = block.shown + smaller(tap + n, num_taps - 1) * DEPTHWISE_ROWS;
                    sum[n] = (NAME(vector)){0};
                }
                for (int64_t row = 0; row < count; row++) {
                    const NAME(vector) given =
                        *(const NAME(vector) *)(d->gradient + (first + row) * stride + start);
#pragma GCC unroll 9
                    for (int n = 0; n < DEPTHWISE_TAPS; n++)
                        sum[n] += given * *(const NAME(vector) *)(d->features + shown[n][row] * stride + start);
                }
                for (int64_t n = 0; n < smaller(DEPTHWISE_TAPS, num_taps - tap); n++)
                    *(NAME(vector) *)(d->out + (tap + n) * stride + start) += sum[n];
            }
    }
    free(block.shown);
    return status;
}
