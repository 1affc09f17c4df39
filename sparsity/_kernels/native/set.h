/* All that one instruction set offers, each with the weights packed first and the work shared among threads.
 *
 * Included once per instruction set, after the definitions that tile.h asks for, which it takes back at the end.
 */
#include "find.h"
#include "convolve.h"
#ifndef BFLOAT16
#include "gradient.h"
#include "depthwise.h"
#include "feedforward.h"
#endif

/* Memory for packed weights: `count` of them, `size` elements each, and where each one is. NULL if there is none. */
static NAME(element) * *NAME(reserve)(int64_t count, int64_t size)
{
    const int64_t header = round_up(count * sizeof(NAME(element) *), ALIGNMENT);
    char *memory = allocate(header + count * size * sizeof(NAME(element)));
    NAME(element) **weights = (NAME(element) **)memory;
    for (int64_t n = 0; memory && n < count; n++)
        weights[n] = (NAME(element) *)(memory + header) + n * size;
    return weights;
}

static int NAME(convolution)(const struct convolution *c, int64_t num_threads)
{
    const struct lattice *lattice = &c->lattice;
    const int64_t num_taps = lattice->kernel_size * lattice->kernel_size;
    const int64_t taps = num_taps > NUM_FREQUENCIES ? num_taps : NUM_FREQUENCIES;
    const int64_t size = NAME(padded)(c->num_out) * taps * round_up(c->num_in, STEP);
    NAME(element) **weights = NAME(reserve)(lattice->num_branches, size);
    if (!weights)
        return NO_MEMORY;
    for (int64_t branch = 0; branch < lattice->num_branches; branch++) {
        struct weight_view view = view_weight(&c->weight, branch, c->num_in, c->num_out, num_taps, c->is_transposed);
        if (c->is_transposed)
            view = flip_taps(view);
#ifndef BFLOAT16
        if (NAME(uses_winograd)(c, branch)) {
            NAME(pack_winograd)(c->weight.values, &view, weights[branch]);
            continue;
        }
#endif
        NAME(pack)(c->weight.values, &view, weights[branch]);
    }
    const int64_t work = lattice->num_active * lattice->num_branches * num_taps * c->num_in * c->num_out;
    const int status = share_among(num_threads, work, lattice->num_active, 4, NAME(convolve), c, weights);
    free(weights);
    return status;
}

#ifndef BFLOAT16
static int NAME(weight_gradients)(const struct gradient *g, int64_t num_threads)
{
    const struct lattice *lattice = &g->lattice;
    const int64_t taps = lattice->num_branches * lattice->kernel_size * lattice->kernel_size;
    const int64_t parts = taps * ((g->num_out + GRADIENT_OUT - 1) / GRADIENT_OUT);
    const int64_t work = lattice->num_active * taps * g->num_in * g->num_out;
    return share_among(num_threads, work, parts, 1, NAME(weight_gradient), g, NULL);
}

static int NAME(passive_gradients)(const struct gradient *g, int64_t num_threads)
{
    const struct lattice *lattice = &g->lattice;
    const int64_t num_taps = lattice->kernel_size * lattice->kernel_size, taps = lattice->num_branches * num_taps;
    const int64_t num_passive = lattice->num_rows - 1 - lattice->num_active;
    float **weights = NAME(reserve)(taps, NAME(padded)(g->num_in) * g->num_out);
    if (!weights)
        return NO_MEMORY;
    for (int64_t n = 0; n < taps; n++) {
        struct weight_view tap = view_weight(&g->weight, n / num_taps, g->num_out, g->num_in, 1, 1);
        tap.first += n % num_taps * tap.tap;
        NAME(pack)(g->weight.values, &tap, weights[n]);
    }
    const int64_t work = lattice->num_active * taps * g->num_out;
    const int status = share_among(num_threads, work, num_passive, 1, NAME(passive_gradient), g, weights);
    free(weights);
    return status;
}

static int NAME(depthwise)(const struct depthwise *d, int64_t num_threads)
{
    const int64_t work = d->lattice.num_active * NAME(all_taps)(&d->lattice) * d->num_features;
    switch (d->part) {
    case DEPTHWISE_BUFFER:
        return share_among(num_threads, work, d->num_features, LANES, NAME(depthwise_buffer), d, NULL);
    case DEPTHWISE_WEIGHT:
        return share_among(num_threads, work, d->num_features, LANES, NAME(depthwise_weight), d, NULL);
    default: return share_among(num_threads, work, d->lattice.num_active, 1, NAME(depthwise_rows), d, NULL);
    }
}

static int NAME(feedforward)(const struct feedforward *f, int64_t num_threads)
{
    const int64_t features = f->num_features, hidden = f->num_hidden;
    const struct weight_view in = {.num_in = features, .num_out = hidden, .num_taps = 1, .out = features, .in = 1};
    const struct weight_view out = {.num_in = hidden, .num_out = features, .num_taps = 1, .out = hidden, .in = 1};
    const int64_t of_in = NAME(padded)(hidden) * features, of_out = NAME(padded)(features) * hidden;
    float **weights = NAME(reserve)(2, of_in > of_out ? of_in : of_out);
    if (!weights)
        return NO_MEMORY;
    NAME(pack)(f->weight_in, &in, weights[0]);
    NAME(pack)(f->weight_out, &out, weights[1]);
    const int64_t work = 2 * f->num_rows * features * hidden;
    const int status = share_among(num_threads, work, f->num_rows, MOST_ROWS, NAME(feedforward_rows), f, weights);
    free(weights);
    return status;
}
#endif

#undef NAME
#undef TARGET
#undef LANES
#undef WIDEST
#undef ROWS_4
#undef ROWS_2
#undef ROWS_1
#undef STEP
#undef BFLOAT16
