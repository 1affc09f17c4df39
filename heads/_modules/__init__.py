"""What EffSeg does with the features of refined cells (Table 5 of the paper): one file per processing module.

A module file has `REFINE_ALL`, whether every cell is refined at every stage, and `build(features)`, an `nn.Module`
that maps a grid with `features` channels to new active features [A F].
"""
