/* Winograd's F(2x2, 3x3) on sibling quads, for one instruction set (see tile.h).
 *
 * The four children of a parent share a 4x4 patch of neighbours at dilation 1, so their 3x3 convolution takes 16
 * products of features instead of 36 (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015).
 */

/* Below so many features or rows, transforming costs more than the products it saves. */
#define WINOGRAD_FEATURES 32
#define WINOGRAD_ROWS 1024

/* How many quads ahead the rows of a patch are asked for. */
#define QUADS_AHEAD 8

INLINE int NAME(uses_winograd)(const struct convolution *c, int64_t branch)
{
    return c->lattice.quads && c->lattice.kernel_size == 3 && c->lattice.dilations[branch] == 1 &&
           c->lattice.num_active >= WINOGRAD_ROWS && c->num_in >= WINOGRAD_FEATURES && c->num_in % LANES == 0;
}

/* G g G^T of three numbers: one direction of the transformed weights. */
TARGET INLINE void NAME(transform_weights)(const NAME(vector) * g, int64_t apart, NAME(vector) * transformed)
{
    const NAME(vector) outer = 0.5f * (g[0] + g[2 * apart]), inner = 0.5f * g[apart];
    transformed[0] = g[0];
    transformed[1] = outer + inner;
    transformed[2] = outer - inner;
    transformed[3] = g[2 * apart];
}

/* The weights of a branch, G g G^T for every pair of features, as [panel][frequency][feature][lane]. */
TARGET static void NAME(pack_winograd)(const float *weight, const struct weight_view *view, float *packed)
{
    for (int64_t start = 0, columns; start < view->num_out; start += columns) {
        columns = panel_width(view->num_out - start, LANES, WIDEST) * LANES;
        for (int64_t in = 0; in < view->num_in; in++) {
            float taken[9][WIDEST * LANES];
            for (int64_t tap = 0; tap < 9; tap++)
                NAME(take)(weight, view, start, columns, tap, in, taken[tap]);
            for (int64_t lane = 0; lane < columns; lane += LANES) {
                NAME(vector) g[9], half[3][4], sums[4];
                for (int tap = 0; tap < 9; tap++)
                    g[tap] = *(const NAME(vector) *)(taken[tap] + lane);
                for (int j = 0; j < 3; j++)
                    NAME(transform_weights)(g + j, 3, half[j]);
                for (int i = 0; i < 4; i++) {
                    const NAME(vector) line[3] = {half[0][i], half[1][i], half[2][i]};
                    NAME(transform_weights)(line, 1, sums);
                    for (int j = 0; j < 4; j++)
                        *(NAME(vector) *)(packed + ((4 * i + j) * view->num_in + in) * columns + lane) = sums[j];
                }
            }
        }
        packed += NUM_FREQUENCIES * view->num_in * columns;
    }
}

/* B^T d B of one quad: its 4x4 patch of rows, read at `source[16]`, BLOCK / 4 apart. */
TARGET INLINE void NAME(transform_patch)(const float *const *source, int64_t num_in, int64_t stride, float *patch)
{
    for (int64_t feature = 0; feature < num_in; feature += LANES) {
        NAME(vector) half[4][4];
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) {
            NAME(vector) d[4];
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++)
                d[i] = *(const NAME(vector) *)(source[(4 * i + j) * (BLOCK / 4)] + feature);
            half[0][j] = d[0] - d[2];
            half[1][j] = d[1] + d[2];
            half[2][j] = d[2] - d[1];
            half[3][j] = d[1] - d[3];
        }
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            float *out = patch + 4 * i * stride + feature;
            *(NAME(vector) *)(out) = half[i][0] - half[i][2];
            *(NAME(vector) *)(out + stride) = half[i][1] + half[i][2];
            *(NAME(vector) *)(out + 2 * stride) = half[i][2] - half[i][1];
            *(NAME(vector) *)(out + 3 * stride) = half[i][1] - half[i][3];
        }
    }
}

/* A^T m A of one quad: 16 frequencies, `stride` apart, become the rows of the four children. */
TARGET INLINE void NAME(transform_result)(const float *frequencies, int64_t stride, int width, float *raw)
{
    for (int64_t lane = 0; lane < width * LANES; lane += LANES) {
        NAME(vector) half[2][4];
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) {
            NAME(vector) m[4];
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++)
                m[i] = *(const NAME(vector) *)(frequencies + (4 * i + j) * stride + lane);
            half[0][j] = m[0] + m[1] + m[2];
            half[1][j] = m[1] - m[2] - m[3];
        }
#pragma GCC unroll 2
        for (int i = 0; i < 2; i++) {
            *(NAME(vector) *)(raw + 2 * i * width * LANES + lane) = half[i][0] + half[i][1] + half[i][2];
            *(NAME(vector) *)(raw + (2 * i + 1) * width * LANES + lane) = half[i][1] - half[i][2] - half[i][3];
        }
    }
}

TARGET static void NAME(winograd)(const struct convolution *c, int64_t branch, int64_t begin, int64_t count,
                                  const float *weight, const struct NAME(scratch) * scratch, int *status)
{
    const int64_t quads = count / 4, stride = (BLOCK / 4) * c->num_in, padded = NAME(padded)(c->num_out);
    for (int32_t tap = 0; tap < NUM_FREQUENCIES; tap++)
        NAME(look_up)(c, branch, &scratch->first_children, BLOCK / 4, tap / 4 - 1, tap % 4 - 1, scratch,
                      scratch->source + tap * (BLOCK / 4), status);
    for (int64_t quad = 0; quad < quads; quad++) {
        const float *const *source = scratch->source + quad;
        for (int64_t tap = 0; tap < NUM_FREQUENCIES; tap++) {
            const float *next = source[tap * (BLOCK / 4) + QUADS_AHEAD];
            __builtin_prefetch(next);
            __builtin_prefetch(next + ALIGNMENT / sizeof *next);
        }
        NAME(transform_patch)(source, c->num_in, stride, scratch->patch + quad * c->num_in);
    }
    /* From here on the sources are the transformed patches, the rows of one multiplication per frequency. */
    for (int64_t row = 0; row < NUM_FREQUENCIES * (BLOCK / 4); row++)
        scratch->source[row] = row % (BLOCK / 4) < quads ? scratch->patch + row * c->num_in : scratch->zero;
    for (int64_t start = 0; start < padded;) {
        const int width = panel_width(c->num_out - start, LANES, WIDEST);
        const int64_t columns = width * LANES, apart = (BLOCK / 4) * columns;
        float bias[WIDEST * LANES];
        NAME(take_bias)(c, branch, start, bias);
        for (int64_t frequency = 0; frequency < NUM_FREQUENCIES; frequency++) {
            NAME(multiply)(width, quads, scratch->source + frequency * (BLOCK / 4), 1, 0, c->num_in, weight,
                           scratch->raw + frequency * apart);
            weight += c->num_in * columns;
        }
        for (int64_t quad = 0; quad < quads; quad++) {
            float results[4 * WIDEST * LANES];
            NAME(transform_result)(scratch->raw + quad * columns, apart, width, results);
            NAME(finish)(c, branch, begin + 4 * quad, 4, start, width, bias, results, scratch->sum + 4 * quad * padded);
        }
        start += columns;
    }
}
