/* The gradients that are no gather convolution, in float, for one instruction set (see tile.h).
 *
 * Every number is one chain of sums in an order that does not depend on how the work is split.
 */

#define GRADIENT_ROWS 128 /* active rows per block: their features and gradients fit into L1 and L2 */
#define GRADIENT_OUT 4    /* output features per register tile */

/* Rows of the buffer that all these neighbours show. On its own and `restrict`: many misses of the map at a time. */
TARGET static void NAME(find_rows)(const struct lattice *lattice, const struct places *places, int64_t count,
                                   int32_t down, int32_t right, int32_t *restrict rows, int *status)
{
    int32_t is_wrong = 0;
    NAME(find)(lattice, places, count, down, right, rows);
    for (int64_t i = 0; i < count; i++)
        rows[i] = NAME(shown)(lattice, rows[i], &is_wrong);
    if (is_wrong)
        *status = WRONG_INDEX;
}

/* weight[out][0..width] += sum over rows of masked[row][out] * taken[row], `outs` outputs at a time. */
TARGET INLINE void NAME(outer)(const int width, int64_t rows, const float *masked, int64_t num_out, int64_t outs,
                               const float *taken, int64_t taken_stride, float *weight, int64_t weight_stride,
                               int64_t columns)
{
    NAME(vector) sum[GRADIENT_OUT][4];
    int64_t at[GRADIENT_OUT];
#pragma GCC unroll 4
    for (int out = 0; out < GRADIENT_OUT; out++) {
        at[out] = smaller(out, outs - 1); /* outputs that do not exist repeat the last and are thrown away */
#pragma GCC unroll 4
        for (int v = 0; v < width; v++)
            sum[out][v] = (NAME(vector)){0};
    }
    for (int64_t row = 0; row < rows; row++, masked += num_out, taken += taken_stride)
#pragma GCC unroll 4
        for (int out = 0; out < GRADIENT_OUT; out++)
#pragma GCC unroll 4
            for (int v = 0; v < width; v++)
                sum[out][v] += masked[at[out]] * *(const NAME(vector) *)(taken + v * LANES);
    for (int64_t out = 0; out < outs; out++) {
        float total[4 * LANES];
        memcpy(total, sum[out], sizeof(float) * width * LANES);
        for (int64_t column = 0; column < columns; column++)
            weight[out * weight_stride + column] += total[column];
    }
}

/* Parts begin..end of the gradient of the weight; a part is one tile of outputs of one tap of one branch.
 *
 * A block of neighbours is copied once per tap, which is 1 / O of the work and lets the tiles read it in order.
 * Blocks are added up apart from each other, so rounding errors do not grow with the number of active cells.
 */
TARGET static int NAME(weight_gradient)(const void *job, const void *no_weights, int64_t begin, int64_t end)
{
    (void)no_weights;
    const struct gradient *g = job;
    const struct lattice *lattice = &g->lattice;
    const int64_t side = lattice->kernel_size, num_taps = side * side;
    const int64_t tiles = (g->num_out + GRADIENT_OUT - 1) / GRADIENT_OUT;
    const int64_t stride = NAME(padded)(g->num_in);
    int32_t cell[GRADIENT_ROWS], row[GRADIENT_ROWS], column[GRADIENT_ROWS], shown[GRADIENT_ROWS];
    const struct places places = {cell, row, column};
    float *taken = allocate(GRADIENT_ROWS * stride * sizeof(float));
    int status = taken ? DONE : NO_MEMORY;
    if (taken)
        memset(taken, 0, GRADIENT_ROWS * stride * sizeof(float));
    for (int64_t first = 0; first < lattice->num_active && status != NO_MEMORY; first += GRADIENT_ROWS) {
        const int64_t rows = smaller(GRADIENT_ROWS, lattice->num_active - first);
        locate(lattice, first, rows, rows, &places, &status);
        for (int64_t part = begin; part < end;) {
            const int64_t tap = part / tiles % num_taps, branch = part / tiles / num_taps;
            const int64_t last = smaller(end, (part / tiles + 1) * tiles);
            NAME(find_rows)(lattice, &places, rows, tap_offset(lattice, branch, tap / side),
                            tap_offset(lattice, branch, tap % side), shown, &status);
            for (int64_t i = 0; i < rows; i++)
                memcpy(taken + i * stride, g->features + shown[i] * g->num_in, g->num_in * sizeof(float));
            for (; part < last; part++) {
                const int64_t out = part % tiles * GRADIENT_OUT, outs = smaller(GRADIENT_OUT, g->num_out - out);
                const float *masked = g->masked + branch * g->branch_stride + first * g->num_out + out;
                float *weight = g->out + ((branch * g->num_out + out) * num_taps + tap) * g->num_in;
                for (int64_t start = 0; start < g->num_in;) {
                    const int width = panel_width(g->num_in - start, LANES, WIDEST);
                    const int64_t columns = smaller(width * LANES, g->num_in - start);
                    switch (width) {
#if WIDEST >= 4
                    case 4:
                        NAME(outer)(4, rows, masked, g->num_out, outs, taken + start, stride, weight + start,
                                    num_taps * g->num_in, columns);
                        break;
#endif
#if WIDEST >= 2
                    case 2:
                        NAME(outer)(2, rows, masked, g->num_out, outs, taken + start, stride, weight + start,
                                    num_taps * g->num_in, columns);
                        break;
#endif
                    default:
                        NAME(outer)(1, rows, masked, g->num_out, outs, taken + start, stride, weight + start,
                                    num_taps * g->num_in, columns);
                    }
                    start += width * LANES;
                }
            }
        }
    }
    free(taken);
    return status;
}

/* The active rows that read a passive row through one tap, sorted by passive row: `start` [rows + 1], `reader`. */
struct NAME(readers) {
    struct places places;
    int32_t *row, *active; /* [A], as found */
    int32_t *start;        /* [rows + 1] */
    int32_t *reader;       /* [A], sorted */
};

/* A counting sort: stable, so the readers of a row are in the order of the active cells. */
TARGET static void NAME(sort_readers)(const struct lattice *lattice, int64_t branch, int64_t tap, int64_t begin,
                                      int64_t end, const struct NAME(readers) * readers, int *status)
{
    const int64_t side = lattice->kernel_size;
    const int32_t down = tap_offset(lattice, branch, tap / side), right = tap_offset(lattice, branch, tap % side);
    int64_t found = 0;
    memset(readers->start, 0, (end - begin + 1) * sizeof *readers->start);
    NAME(find_rows)(lattice, &readers->places, lattice->num_active, down, right, readers->row, status);
    for (int64_t i = 0; i < lattice->num_active; i++) { /* moves up what was found, without a branch */
        const int64_t row = readers->row[i] - 1 - begin;
        readers->row[found] = (int32_t)row;
        readers->active[found] = (int32_t)i;
        found += row >= 0 && row < end - begin;
    }
    for (int64_t n = 0; n < found; n++)
        readers->start[readers->row[n]]++;
    int32_t total = 0;
    for (int64_t row = 0; row <= end - begin; row++) {
        const int32_t count = readers->start[row];
        readers->start[row] = total += count;
    }
    for (int64_t n = found - 1; n >= 0; n--) /* from behind: `start` moves from the end of a row to its beginning */
        readers->reader[--readers->start[readers->row[n]]] = readers->active[n];
}

/* Gradient of passive rows begin..end: sum what reads a row through a tap, then multiply once per row and tap. */
TARGET static int NAME(passive_gradient)(const void *job, const void *packed, int64_t begin, int64_t end)
{
    enum { BATCH = MOST_ROWS }; /* a multiple of the rows of every tile */
    const struct gradient *g = job;
    const float *const *weights = packed;
    const struct lattice *lattice = &g->lattice;
    const int64_t num_taps = lattice->kernel_size * lattice->kernel_size;
    const int64_t columns = NAME(padded)(g->num_in);
    const int64_t indices = lattice->num_active * sizeof(int32_t);
    struct NAME(readers) readers = {
        .places = {allocate(indices), allocate(indices), allocate(indices)},
        .row = allocate(indices),
        .active = allocate(indices),
        .start = allocate((end - begin + 1) * sizeof(int32_t)),
        .reader = allocate(indices),
    };
    float *sums = allocate(BATCH * g->num_out * sizeof(float)), *raw = allocate(BATCH * columns * sizeof(float));
    int status = DONE;
    if (!readers.places.cell || !readers.places.row || !readers.places.column || !readers.row || !readers.active ||
        !readers.start || !readers.reader || !sums || !raw)
        status = NO_MEMORY;
    else {
        memset(sums, 0, BATCH * g->num_out * sizeof(float));
        locate(lattice, 0, lattice->num_active, lattice->num_active, &readers.places, &status);
    }
    for (int64_t part = 0; part < lattice->num_branches * num_taps && status != NO_MEMORY; part++) {
        const int64_t branch = part / num_taps, tap = part % num_taps;
        const float *masked = g->masked + branch * g->branch_stride;
        NAME(sort_readers)(lattice, branch, tap, begin, end, &readers, &status);
        int64_t filled = 0, row_of[BATCH];
        const float *source[BATCH + MOST_ROWS];
        for (int i = 0; i < BATCH + MOST_ROWS; i++)
            source[i] = sums;
        for (int64_t row = 0; row < end - begin; row++) {
            const int32_t first = readers.start[row], last = readers.start[row + 1];
            if (first < last) {
                const float *from = masked + readers.reader[first] * g->num_out;
                source[filled] = from;
                if (last - first > 1) {
                    float *sum = sums + filled * g->num_out;
                    memcpy(sum, from, g->num_out * sizeof(float));
                    for (int32_t n = first + 1; n < last; n++)
                        for (int64_t out = 0; out < g->num_out; out++)
                            sum[out] += masked[readers.reader[n] * g->num_out + out];
                    source[filled] = sum;
                }
                row_of[filled++] = row;
            }
            if (filled < BATCH && (row + 1 < end - begin || !filled))
                continue;
            const float *weight = weights[part];
            for (int64_t start = 0; start < columns;) {
                const int width = panel_width(g->num_in - start, LANES, WIDEST);
                NAME(multiply)(width, filled, source, 1, 0, g->num_out, weight, raw);
                for (int64_t i = 0; i < filled; i++)
                    for (int64_t n = 0; n < smaller(width * LANES, g->num_in - start); n++)
                        g->out[(begin + row_of[i]) * g->num_in + start + n] += raw[i * width * LANES + n];
                weight += g->num_out * width * LANES;
                start += width * LANES;
            }
            filled = 0;
        }
    }
    free(readers.places.cell);
    free(readers.places.row);
    free(readers.places.column);
    free(readers.row);
    free(readers.active);
    free(readers.start);
    free(readers.reader);
    free(sums);
    free(raw);
    return status;
}
