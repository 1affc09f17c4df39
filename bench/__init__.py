"""Everything held fixed: detector, data, protocols, probes, records.

`detector/` is the common detector, `data` reads images and annotations, `model` walks from images to masks, `probes/`
measure one thing each, `recipes` list what to measure, `plan` measures what is missing, `record` and `store` keep it.
From Python, `recognise` finds a data set; `run`, `predict`, `evaluate`, `compare` and `explain` give what the command
line prints. Imports no torch.
"""

from bench.contract import Context
from bench.data.layout import recognise
from bench.explanation import explain
from bench.planning.session import Selection, compare, evaluate, predict, run
from bench.record import Record
from bench.store import Store

__version__ = "0.5.0"

__all__ = [
    "Context",
    "Record",
    "Selection",
    "Store",
    "compare",
    "evaluate",
    "explain",
    "predict",
    "recognise",
    "run",
]
