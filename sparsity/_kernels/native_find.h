/* Which rows the neighbours of active cells show, for one instruction set (see native_tile.h).
 *
 * Without a branch that depends on the data, so the compiler can use the gather instructions of the set: where a cell
 * lies at a border or next to a passive one is not predictable, and there are T lookups for each of D A rows.
 */

/* shown[i] = row of the buffer that the neighbour of place i * step shows, 0 outside the lattice.
 *
 * A row number outside of the buffer is taken for 0 and fails the call: comparing costs nothing measurable beside the
 * F O products of a neighbour, and a wrong map must not read foreign memory.
 */
TARGET static void NAME(find)(const struct lattice *lattice, const struct places *places, int64_t count, int64_t step,
                              int32_t down, int32_t right, int32_t *restrict shown, int *status)
{
    const uint32_t height = (uint32_t)lattice->height, width = (uint32_t)lattice->width;
    const uint32_t num_rows = (uint32_t)lattice->num_rows;
    const int32_t *restrict rows = lattice->rows;
    const int32_t apart = down * (int32_t)width + right;
    const int32_t *restrict cells = places->cell, *restrict at_row = places->row, *restrict at_column = places->column;
    int32_t is_wrong = 0;
    for (int64_t i = 0; i < count; i++) {
        const int32_t is_inside = ((uint32_t)(at_row[i * step] + down) < height) &
                                  ((uint32_t)(at_column[i * step] + right) < width);
        shown[i] = is_inside ? cells[i * step] + apart : -1;
    }
    for (int64_t i = 0; i < count; i++) {
        const int32_t is_outside = shown[i] >> 31; /* all bits or none */
        const int32_t row = rows[shown[i] & ~is_outside] & ~is_outside;
        const int32_t is_row = -(int32_t)((uint32_t)row < num_rows);
        is_wrong |= ~is_row;
        shown[i] = row & is_row;
    }
    if (is_wrong)
        *status = WRONG_INDEX;
}
