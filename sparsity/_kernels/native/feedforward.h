/* Normalised feed-forward blocks on many rows, in float, for one instruction set (see tile.h).
 *
 * What torch does in five passes over memory, two of them four times as wide, is one: a block of rows is normalised, its
 * hidden features are made a part at a time, and each part is multiplied into the sums of the second layer while it is
 * in L1. Every number is one chain of sums in an order that does not depend on how the rows are split.
 */

#define FEEDFORWARD_ROWS 96    /* per block: a multiple of every ROWS; rows, sums and the weights between fit into L2 */
#define FEEDFORWARD_HIDDEN 128 /* hidden features of a part: a multiple of every WIDEST * LANES */

typedef float NAME(four) __attribute__((vector_size(16), aligned(4), may_alias));

/* Add up the lanes, four at a time: left to halve an array of them, GCC takes each out on its own. */
TARGET INLINE float NAME(add_lanes)(NAME(vector) value)
{
    const NAME(four) *fours = (const NAME(four) *)&value;
    NAME(four) sum = fours[0];
#pragma GCC unroll 4
    for (int n = 1; n < LANES / 4; n++)
        sum += fours[n];
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

/* to = (row - mean) / sqrt(variance + epsilon) * scale + shift, in two passes as the variance of large means needs. */
TARGET INLINE void NAME(normalise)(const struct feedforward *f, const float *row, float *to)
{
    const int64_t features = f->num_features, whole = features / LANES * LANES;
    NAME(vector) sum = {0}, squares = {0};
    for (int64_t n = 0; n < whole; n += LANES)
        sum += *(const NAME(vector) *)(row + n);
    float mean = NAME(add_lanes)(sum);
    for (int64_t n = whole; n < features; n++)
        mean += row[n];
    mean /= (float)features;
    for (int64_t n = 0; n < whole; n += LANES) {
        const NAME(vector) apart = *(const NAME(vector) *)(row + n) - mean;
        squares += apart * apart;
    }
    float variance = NAME(add_lanes)(squares);
    for (int64_t n = whole; n < features; n++)
        variance += (row[n] - mean) * (row[n] - mean);
    const float factor = 1.0f / __builtin_sqrtf(variance / (float)features + f->epsilon);
    for (int64_t n = 0; n < whole; n += LANES)
        *(NAME(vector) *)(to + n) = (*(const NAME(vector) *)(row + n) - mean) * factor *
                                        *(const NAME(vector) *)(f->scale + n) +
                                    *(const NAME(vector) *)(f->shift + n);
    for (int64_t n = whole; n < features; n++)
        to[n] = (row[n] - mean) * factor * f->scale[n] + f->shift[n];
}

/* to[row][lane] = from[row][lane] + sum over `num_in` numbers of in[row] times their weights; strides in numbers. */
TARGET INLINE void NAME(layer_tile)(const int rows, const int width, const float *in, int64_t in_stride, int64_t num_in,
                                    const float *weight, const float *from, int64_t from_stride, int has_activation,
                                    float *to, int64_t to_stride)
{
    NAME(vector) sum[MOST_ROWS][4];
    const float *at[MOST_ROWS];
#pragma GCC unroll 12
    for (int row = 0; row < rows; row++) {
        at[row] = in + row * in_stride;
#pragma GCC unroll 4
        for (int v = 0; v < width; v++)
            sum[row][v] = *(const NAME(vector) *)(from + row * from_stride + v * LANES);
    }
    for (int64_t n = 0; n < num_in; n++, weight += width * LANES) {
#pragma GCC unroll 12
        for (int row = 0; row < rows; row++)
#pragma GCC unroll 4
            for (int v = 0; v < width; v++)
                sum[row][v] = NAME(multiply_add)(sum[row][v], at[row] + n, weight + v * LANES);
    }
#pragma GCC unroll 12
    for (int row = 0; row < rows; row++)
#pragma GCC unroll 4
        for (int v = 0; v < width; v++) {
            NAME(vector) value = sum[row][v];
            if (has_activation) /* what is below zero becomes zero; NaN stays, as in torch */
                value = (NAME(vector))(~(NAME(integers))(value < 0.0f) & (NAME(integers))value);
            *(NAME(vector) *)(to + row * to_stride + v * LANES) = value;
        }
}

/* One panel of a layer for `count` rows, in whole tiles. Not inlined, as NAME(multiply). */
TARGET __attribute__((noinline)) static void NAME(layer_panel)(int width, int64_t count, const float *in,
                                                               int64_t in_stride, int64_t num_in, const float *weight,
                                                               const float *from, int64_t from_stride,
                                                               int has_activation, float *to, int64_t to_stride)
{
    for (int64_t row = 0; row < count;) {
        const float *in_row = in + row * in_stride, *from_row = from + row * from_stride;
        float *to_row = to + row * to_stride;
        switch (width) {
#if WIDEST >= 4
        case 4:
            NAME(layer_tile)(ROWS_4, 4, in_row, in_stride, num_in, weight, from_row, from_stride, has_activation,
                             to_row, to_stride);
            row += ROWS_4;
            break;
#endif
#if WIDEST >= 2
        case 2:
            NAME(layer_tile)(ROWS_2, 2, in_row, in_stride, num_in, weight, from_row, from_stride, has_activation,
                             to_row, to_stride);
            row += ROWS_2;
            break;
#endif
        default:
            NAME(layer_tile)(ROWS_1, 1, in_row, in_stride, num_in, weight, from_row, from_stride, has_activation,
                             to_row, to_stride);
            row += ROWS_1;
        }
    }
}

/* Rows begin..end of the output, from the packed weights of both layers. */
TARGET static int NAME(feedforward_rows)(const void *job, const void *packed, int64_t begin, int64_t end)
{
    const struct feedforward *f = job;
    const float *const *weights = packed;
    const int64_t features = f->num_features, padded = NAME(padded)(features);
    const int64_t numbers = FEEDFORWARD_ROWS * (features + FEEDFORWARD_HIDDEN + padded);
    float *normed = allocate(numbers * (int64_t)sizeof *normed);
    if (!normed)
        return NO_MEMORY;
    float *hidden = normed + FEEDFORWARD_ROWS * features, *sums = hidden + FEEDFORWARD_ROWS * FEEDFORWARD_HIDDEN;
    memset(normed, 0, numbers * sizeof *normed); /* tiles read rows and columns that do not exist, for nothing */
    for (; begin < end; begin += FEEDFORWARD_ROWS) {
        const int64_t count = smaller(FEEDFORWARD_ROWS, end - begin);
        for (int64_t row = 0; row < count; row++) {
            NAME(normalise)(f, f->rows + (begin + row) * features, normed + row * features);
            memcpy(sums + row * padded, f->bias_out, features * sizeof *sums);
        }
        for (int64_t first = 0; first < f->num_hidden; first += FEEDFORWARD_HIDDEN) {
            const int64_t part = smaller(FEEDFORWARD_HIDDEN, f->num_hidden - first);
            const float *weight = weights[0] + first * features;
            for (int64_t start = 0, width; start < part; start += width * LANES) {
                float bias[WIDEST * LANES] = {0};
                width = panel_width(part - start, LANES, WIDEST);
                memcpy(bias, f->bias_in + first + start, smaller(width * LANES, part - start) * sizeof *bias);
                NAME(layer_panel)(width, count, normed, features, features, weight, bias, 0, 1, hidden + start,
                                  FEEDFORWARD_HIDDEN);
                weight += features * width * LANES;
            }
            weight = weights[1];
            for (int64_t start = 0, width; start < features; start += width * LANES) {
                width = panel_width(features - start, LANES, WIDEST);
                NAME(layer_panel)(width, count, hidden, FEEDFORWARD_HIDDEN, part, weight + first * width * LANES,
                                  sums + start, padded, 0, sums + start, padded);
                weight += f->num_hidden * width * LANES;
            }
        }
        for (int64_t row = 0; row < count; row++)
            for (int64_t n = 0; n < features; n++)
                f->out[(begin + row) * features + n] = f->added[(begin + row) * features + n] + sums[row * padded + n];
    }
    free(normed);
    return DONE;
}
