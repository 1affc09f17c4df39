"""How features of partly refined regions are stored: several backends, one protocol.

A backend is one public module of this folder with one class `Backend` that implements `Grid`. Operations (`conv2d`,
`sfm`, `depthwise`, `deform_conv2d`) are functions on any grid. `backend("sps")` gives the class by module name; the
folder is the registry. `backend("sps:native")` takes one of the kernels that SPS convolves with, from the folder
`_kernels`. A segmentation head subdivides a grid where it wants to refine and never sees how the features are stored.

Files with an underscore are private to this package: what others need is handed out here.

    to use a grid       backend, Grid, GridType, Unsupported; conv2d, sfm, depthwise, deform_conv2d; window, windows,
                        children_of, unravel
                        check: is it in order?  why_kernel: which kernel of SPS runs here, and why no other
    to write a backend  FullMap, or its parts: map_size, all_cells, cell_rows, neighbors_of, interpolate, with_zero_row;
                        reach, contract, contract_channels; what every backend refuses: check_active, check_children,
                        check_weight, check_channels
    to write a layer    product: the faster matrix product of many rows;  WORTH_CONVOLVING: from which size on
                        feedforward: normalise, widen, activate, narrow, add, in one pass over memory
    to keep a registry  names, plugin, unknown_name: of the plug-ins of any package

The alphabet of shapes, in this project everywhere:

    R regions (RoIs)   A active cells   P passive features   F feature size   H W lattice   T kernel taps   K kept cells
    B images           S mask side      Q query size         N generic        D predictions  G objects (ground truth)
"""

from typing import TYPE_CHECKING

from sparsity._plugins import names, plugin, unknown_name

if TYPE_CHECKING:
    from sparsity._backend import backend
    from sparsity._check import check
    from sparsity._full_map import FullMap
    from sparsity._grid import Grid, GridType, Unsupported, check_active, check_children, with_zero_row
    from sparsity._kernels._choose import why_kernel
    from sparsity._kernels._feedforward import feedforward
    from sparsity._lattice import (
        all_cells,
        cell_rows,
        children_of,
        interpolate,
        map_size,
        neighbors_of,
        reach,
        unravel,
        window,
        windows,
    )
    from sparsity._ops import (
        check_channels,
        check_weight,
        contract,
        contract_channels,
        conv2d,
        deform_conv2d,
        depthwise,
        sfm,
    )
    from sparsity._product import WORTH_CONVOLVING, product
else:
    # Plug-ins can be named, and a wrong name told, without the seconds that torch takes: it comes with the first name
    # that needs it.
    def __getattr__(name: str) -> object:
        from importlib import import_module

        homes = ("_backend", "_check", "_full_map", "_grid", "_kernels._choose", "_kernels._feedforward", "_lattice")
        homes += ("_ops", "_product")
        for module in (import_module(f"sparsity.{home}") for home in homes if name in __all__):
            if hasattr(module, name):
                globals()[name] = getattr(module, name)
                return globals()[name]
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


__all__ = [
    "WORTH_CONVOLVING",
    "FullMap",
    "Grid",
    "GridType",
    "Unsupported",
    "all_cells",
    "backend",
    "cell_rows",
    "check",
    "check_active",
    "check_channels",
    "check_children",
    "check_weight",
    "children_of",
    "contract",
    "contract_channels",
    "conv2d",
    "deform_conv2d",
    "depthwise",
    "feedforward",
    "interpolate",
    "map_size",
    "names",
    "neighbors_of",
    "plugin",
    "product",
    "reach",
    "sfm",
    "unknown_name",
    "unravel",
    "why_kernel",
    "window",
    "windows",
    "with_zero_row",
]
