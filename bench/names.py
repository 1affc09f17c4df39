"""The words that records, probes and reports share: axes of values, and places on them. Imports nothing.

A value says by its axes of what part of a measurement it is, such as {"stage": 1, "operation": "sfm"}. A probe of one's
own may have another axis: its values are shown by name, and a report says that it does not know the axis.
"""

AXES = {
    "ability": "what a backend can do or not: neighbors, conv, dilated, 5x5, deformable, bilinear",
    "budget": "refined cells: a multiple of those in training, by its name",
    "category": "a class of objects by its name; `(background)`: none",
    "cells": "in closed form: at the `active` cells, or at `all` of them",
    "clock": "`thread`: CPU time of one thread; `wall`: all threads, or a GPU, synchronised",
    "cost": "what Dense and a backend are compared by: time, macs, bytes",
    "dtype": "precision of the examined side",
    "error": "what is wrong with a prediction, or that an object is missed, and what would be mended",
    "loss": "a loss of training by its name",
    "operation": "an operation on a grid",
    "part": "a part of the whole that the value without this axis is of: of a model, of a head's time, of stored bytes",
    "passes": "`forward`; `gradient`; `training`: forward and backward",
    "phase": "a phase of one image's latency",
    "place": "a setting on an axis of a study: percent of active cells, number of regions, `point` (EffSeg's own)",
    "policy": "a rule of where to refine",
    "predicted": "the class that a prediction names; `(background)`: there is no prediction",
    "reference": "what a difference is taken from: the value here less that at this place",
    "regions": "how many regions a head was given",
    "ruler": "the counter of multiply-adds: torch, fvcore",
    "size": "objects by area: small, medium, large",
    "stage": "a stage of refinement, from 1 on; 0 is what comes before the first",
    "sweep": "what changes in a study while all else is held",
}
"""Every axis that the project's own probes use, with what its places are."""

STAGES = (1, 2, 3)
"""EffSeg's stages of refinement."""

MODEL_PARTS = ("backbone", "neck", "detector", "head")

HEAD_PARTS = {
    "roi_align": "RoIAlign",
    "dense_convolution": "dense convolutions",
    "pointwise": "pointwise layers",
    "selection": "selection",
    "subdivision": "subdivision",
    "sampling": "sampling",
    "convolution": "sparse convolution",
    "bookkeeping": "bookkeeping",
    "paste": "pasting",
    "other": "other",
}
"""Parts of a head's time and how they are called, in the order in which they are shown.

`convolution` is that of a grid, `other` what no operation of torch took.
"""

OPERATIONS = {
    "linear": "linear",
    "conv": "conv",
    "sfm": "SFM",
    "deform": "deform",
    "subdivide": "subdivide",
    "halve": "halve",
}
"""What a head does with a grid and how it is called: on the active cells of a stage, then on the way into it.

A pointwise layer, a 3x3 convolution, the branches of the SFM, a deformable 3x3 convolution; splitting the kept cells,
and halving the feature size of all that is stored.
"""

HARDEST_FIRST = ("sfm", "conv", "linear")
"""Operations counted in closed form; a backend is judged by the first of them that it can do."""

NO_WAITING = "no_host_sync"
"""The check of a certificate that a stage runs without waiting for the device."""

CERTIFIED = {
    "cells": "active cells",
    "storage": "stored bytes, as held",
    "linear": "linear layer",
    "halving": "map F to F/2",
    "overwrite": "overwrite active",
    "subdivide": "subdivide x2",
    "to_dense": "to a full map",
    "gather": "read 3x3 neighbors",
    "gather_far": "read a farther cell",
    "conv3_d1": "conv 3x3",
    "conv3_d3": "conv 3x3, dilation 3",
    "conv3_d5": "conv 3x3, dilation 5",
    "conv5_d1": "conv 5x5",
    "conv3_after_halving": "map, then conv 3x3",
    "conv3_after_overwrite": "overwrite, then conv",
    "conv3_after_subdivide": "subdivide, then conv",
    "sfm": "SFM (1, 3, 5)",
    "sample": "bilinear sampling",
    "deform_conv3": "deformable conv 3x3",
    "depthwise": "depthwise (1, 3, 5)",
    NO_WAITING: "no waiting for device",
}
"""The operations that a certificate examines and how they are called; `bench.backends.operations` describes each."""

METRICS = {
    "ap_star": "AP*",
    "apb_star": "APB*",
    "ap": "AP",
    "apb": "APB",
}
"""The accuracies by their names in records and how they are called, those on fine annotations first."""
