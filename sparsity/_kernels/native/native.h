/* What every instruction set shares: the problem, how its weights are read, where cells lie, how wide a panel is.
 *
 * Neighbours are looked up in find.h, weights are packed in convolve.h, threads.h shares the work.
 *
 * Sizes are int64_t as torch's; numbers of rows and cells are int32_t as the grid's. The letters of the shapes are
 * those of sparsity/__init__.py: A active cells, N rows of the buffer, D branches, T taps, F features in, O out.
 */
#ifndef SPS_NATIVE_H
#define SPS_NATIVE_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline, unused))
#define BLOCK 192        /* active rows worked on together: their neighbours and one panel of weights fit into L2 */
#define MOST_ROWS 12     /* of a register tile */
#define ALIGNMENT 64     /* bytes, one cache line, one AVX-512 register */
#define NUM_FREQUENCIES 16 /* F(2x2, 3x3): a 4x4 patch of inputs gives 2x2 outputs */

enum status { DONE = 0, WRONG_INDEX = 1, NO_MEMORY = 2 };

/* Where the active cells are and what their neighbours show. Mirrored in __init__.py, field by field. */
struct lattice {
    const int32_t *rows;      /* [R H W] */
    const int32_t *cells;     /* [A] */
    const int32_t *dilations; /* [D] */
    int64_t num_rows;         /* N */
    int64_t num_active;       /* A: row N - A + i of the buffer is active cell i */
    int64_t num_cells;        /* R H W */
    int64_t height, width;
    int64_t num_branches; /* D */
    int64_t kernel_size;  /* T = kernel_size^2 */
    int64_t quads;        /* cells 4j..4j+3 are the 2x2 children of one parent */
};

/* Weights [D O T F] wherever they lie: strides in elements. What the tiles read is packed from here. */
struct weights {
    const void *values;
    int64_t branch, out, tap, in;
};

/* One gather convolution. A neighbour that shows row `first_row` + n reads row n of `features`, one before it zeros. */
struct convolution {
    struct lattice lattice;
    const void *features;  /* [D or 1, rows, F], D apart by branch_stride elements */
    int64_t branch_stride; /* 0 where all branches read the same */
    int64_t first_row;
    int64_t num_in, num_out;
    struct weights weight; /* of the forward pass, also when it is transposed */
    int64_t is_transposed; /* taps flipped, features in and out exchanged: the gradient of the active rows */
    const float *bias;     /* [D O], or null */
    int64_t has_activation;
    uint8_t *signs; /* [A, D, ceil(O / 8)], or null */
    void *out;      /* [A O] */
};

/* The gradients that read what the forward pass read. */
struct gradient {
    struct lattice lattice;
    const float *features; /* [N F] */
    const float *masked;   /* [D or 1, A, O]: the gradient of the output, zero where the activation was off */
    int64_t branch_stride;
    int64_t num_in, num_out;
    struct weights weight;
    float *out; /* [D O T F], zero, or of the passive rows [P F], zero */
};

enum depthwise_part { DEPTHWISE_OUTPUT = 0, DEPTHWISE_BUFFER = 1, DEPTHWISE_WEIGHT = 2 };

/* A depthwise convolution, or one of its gradients. F is a multiple of 16. */
struct depthwise {
    struct lattice lattice;
    int64_t part;          /* enum depthwise_part: what is computed */
    int64_t num_features;  /* F */
    const float *features; /* [N F] */
    const float *gradient; /* [A F], of the output */
    const float *weight;   /* [D T F] */
    const float *bias;     /* [F], or null */
    float *out;            /* [A F]; zero and [N F] of the buffer, [D T F] of the weight */
};

/* out = added + bias_out + weight_out relu(bias_in + weight_in normalised(rows)). */
struct feedforward {
    int64_t num_rows, num_features, num_hidden;
    const float *rows, *added;          /* [N F] */
    const float *scale, *shift;         /* [F], of the normalisation */
    const float *weight_in, *bias_in;   /* [H F], [H] */
    const float *weight_out, *bias_out; /* [F H], [F] */
    float *out;                         /* [N F] */
    float epsilon;
};

/* The weights of one branch in the orientation of a convolution: strides to the next output, tap and input. */
struct weight_view {
    int64_t num_in, num_out, num_taps;
    int64_t out, tap, in;
    int64_t first; /* where the first value is */
};

/* How a branch looks to a convolution from `num_in` to `num_out` features; transposed, O is in and F is out. */
INLINE struct weight_view view_weight(const struct weights *weight, int64_t branch, int64_t num_in, int64_t num_out,
                                      int64_t num_taps, int is_transposed)
{
    return (struct weight_view){
        .num_in = num_in,
        .num_out = num_out,
        .num_taps = num_taps,
        .out = is_transposed ? weight->in : weight->out,
        .tap = weight->tap,
        .in = is_transposed ? weight->out : weight->in,
        .first = branch * weight->branch,
    };
}

/* The same with the taps in reverse: mirrored in both directions. */
INLINE struct weight_view flip_taps(struct weight_view view)
{
    view.first += (view.num_taps - 1) * view.tap;
    view.tap = -view.tap;
    return view;
}

/* Row and column of active cells in their lattices, and their flat numbers. */
struct places {
    int32_t *cell, *row, *column;
};

/* Where active cells begin..begin + count are. What is no cell, and all up to `capacity`, is outside the lattices. */
INLINE void locate(const struct lattice *lattice, int64_t begin, int64_t count, int64_t capacity,
                   const struct places *places, int *status)
{
    const uint32_t height = (uint32_t)lattice->height, width = (uint32_t)lattice->width;
    for (int64_t i = 0; i < capacity; i++) {
        const int32_t cell = i < count ? lattice->cells[begin + i] : -1;
        const int is_cell = cell >= 0 && cell < lattice->num_cells;
        if (!is_cell && i < count)
            *status = WRONG_INDEX;
        const uint32_t position = is_cell ? (uint32_t)cell % (height * width) : 0;
        places->cell[i] = is_cell ? cell : 0;
        places->row[i] = is_cell ? (int32_t)(position / width) : INT32_MIN / 2;
        places->column[i] = is_cell ? (int32_t)(position % width) : INT32_MIN / 2;
    }
}

INLINE int32_t tap_offset(const struct lattice *lattice, int64_t branch, int64_t step)
{
    return (int32_t)(step - lattice->kernel_size / 2) * lattice->dilations[branch];
}

INLINE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

INLINE int64_t round_up(int64_t number, int64_t step) { return (number + step - 1) / step * step; }

INLINE void *allocate(int64_t bytes)
{
    return aligned_alloc(ALIGNMENT, (size_t)round_up(bytes > 0 ? bytes : 1, ALIGNMENT));
}

/* Panels of output features: the widest that is no more than half padding. `lanes` features to a register. */
INLINE int panel_width(int64_t remaining, int lanes, int widest)
{
    int width = 1;
    while (width < widest && remaining > width * lanes)
        width *= 2;
    return width;
}

#endif
