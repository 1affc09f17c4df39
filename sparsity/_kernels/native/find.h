/* Which rows the neighbours of active cells show, for one instruction set (see tile.h).
 *
 * There are T lookups for each of D A rows, so this is the largest cost after the products. It is in two steps. Whether
 * a neighbour is inside is the same arithmetic for all, which the compiler makes vectors of, without a branch: where a
 * cell lies at a border is not predictable. Reading the map is for single numbers.
 */

/* at[i] = flat cell number of the neighbour of place i, -1 outside the lattice. */
TARGET static void NAME(find)(const struct lattice *lattice, const struct places *places, int64_t count, int32_t down,
                              int32_t right, int32_t *restrict at)
{
    const uint32_t height = (uint32_t)lattice->height, width = (uint32_t)lattice->width;
    const int32_t apart = down * (int32_t)width + right;
    const int32_t *restrict cells = places->cell, *restrict at_row = places->row, *restrict at_column = places->column;
    for (int64_t i = 0; i < count; i++) {
        const int32_t is_inside = ((uint32_t)(at_row[i] + down) < height) & ((uint32_t)(at_column[i] + right) < width);
        at[i] = is_inside ? cells[i] + apart : -1;
    }
}

/* Row of the buffer that a place found above shows, 0 outside.
 *
 * A row number outside of the buffer is taken for 0 and noted in `is_wrong`: comparing costs nothing measurable beside
 * the F O products of a neighbour, and a wrong map must not read foreign memory.
 */
TARGET INLINE int32_t NAME(shown)(const struct lattice *lattice, int32_t at, int32_t *is_wrong)
{
    const int32_t is_inside = ~(at >> 31); /* all bits or none */
    const int32_t row = lattice->rows[at & is_inside] & is_inside;
    const int32_t is_row = -(int32_t)((uint32_t)row < (uint32_t)lattice->num_rows);
    *is_wrong |= ~is_row;
    return row & is_row;
}
