"""The processing modules of EffSeg, which turn features of refined cells into new ones: one file each (Table 5).

A module file has `REFINE_ALL`, whether every cell is refined at every stage, and `build(features)`, an `nn.Module`
that maps a grid with `features` channels to new active features [A F].
"""
