"""The contract of a probe: a module of `bench/probes/` that measures one thing in a `Context`, as a `Measurement`.

Imports no torch; probes do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from bench.data.layout import DataSet
from bench.files import cache_folder
from bench.record import Scalar, Subject, Value
from bench.store import Array

Dtype = Literal["float32", "float64", "bfloat16", "float16"]

Finishing = Literal["exact", "dilated"]
"""How masks come to the size of the file: probabilities are placed there and cut at one half (exact), or they are cut
at the input's size and the result is resized as the authors' code does, which dilates it."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """With what the subjects are measured: the same for all cells of a run.

    `data` is the data set, `images` the number of its validation images, first by image id (None: the probe's default).
    `detections` says whose boxes the heads get: "detector", "ground_truth", or the path of a file of detections.
    `regions` fixes the number of RoIs where the probe does not run the detector, `budget` the number of refined cells
    where it does not run a head. `finishing` is that of the masks. `cache_dir` keeps what is slow to make again; losing
    it loses nothing else.
    """

    data: DataSet | None = None
    lvis: Path | None = None
    images: int | None = None
    device: str = "cpu"
    dtype: Dtype = "float32"
    weights: Path | None = None
    detections: str = "detector"
    regions: int | None = None
    budget: int | None = None
    finishing: Finishing = "exact"
    seed: int = 0
    cache_dir: Path = field(default_factory=cache_folder)


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """Result of a probe: values as rows of a `Record`, no two with the same name and axes.

    `samples` are arrays kept in the npz file beside the record, `files` whole files by name, such as
    {"predictions.json.gz": content}. `uncounted` names operations that a cost does not include. Where an array has a
    number for every image, `compare` says how sure a difference is: `bench.per_image` finds them by their names.
    """

    values: Sequence[Value] = ()
    samples: Mapping[str, Array] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    uncounted: tuple[str, ...] = ()


@runtime_checkable
class Probe(Protocol):
    """A module of `bench/probes/`. Raise `VERSION` when the same protocol would give other values than before.

    `TIMED`: values depend on the machine (time, memory), so the key of the record includes it.
    `NEEDS_IMAGES`: cannot do without `context.data`. `NEEDS_WEIGHTS`: means nothing for random weights, so it is left
    out for them unless asked for by name.

    A probe with `SHARED = True` is run by all ranks of torchrun, each on its share of the images, and what counts is
    the measurement of rank 0; without, it is run by rank 0 alone. One with `OWN_FILES = True` does not read the images
    of val2017, so a run does not ask for them beforehand.
    """

    VERSION: int
    TIMED: bool
    NEEDS_IMAGES: bool
    NEEDS_WEIGHTS: bool

    def protocol(self, subject: Subject, context: Context) -> dict[str, Scalar]:
        """Everything of subject and context that the values depend on; must be quick. `plan` adds probe and version."""
        ...

    def measure(self, subject: Subject, context: Context) -> Measurement:
        """Measure. Any exception becomes a record with the error."""
        ...
