"""How features of partly refined regions are stored: several backends, one protocol.

A backend is one public module of this folder with one class `Backend` that implements `Grid`. Operations (`conv2d`,
`sfm`, `deform_conv2d`) are functions on any grid. `backend("sps")` gives the class by module name; the folder is the
registry. `backend("sps:native")` takes one of the kernels that SPS convolves with, from the folder `_kernels`. A
segmentation head subdivides a grid where it wants to refine and never sees how the features are stored.

The alphabet of shapes, in this project everywhere:

    R regions (RoIs)   A active cells   P passive features   F feature size   H W lattice   T kernel taps   K kept cells
    B images           S mask side      Q query size         N generic        D predictions  G objects (ground truth)
"""

from sparsity._check import check
from sparsity._grid import Grid, GridType, Unsupported
from sparsity._kernels._choose import why as why_kernel
from sparsity._lattice import children_of, unravel, window
from sparsity._ops import conv2d, deform_conv2d, sfm
from sparsity._plugins import backend, names, plugin
from sparsity._product import product

__all__ = [
    "Grid",
    "GridType",
    "Unsupported",
    "backend",
    "check",
    "children_of",
    "conv2d",
    "deform_conv2d",
    "names",
    "plugin",
    "product",
    "sfm",
    "unravel",
    "why_kernel",
    "window",
]
