"""A run for `test_ranks.py`: alone or under torchrun, `python ranked_run.py RESULTS COCO_MINI`.

Every rank writes what its run yielded to RESULTS/rank0.json, rank1.json, ..., and what the same yields once more, on
the results that are there by then, to RESULTS/again0.json, ...
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec
import torch

from bench import ranks
from bench.contract import Context, Measurement
from bench.data.layout import coco_layout
from bench.planning import plan
from bench.planning.plan import Cell
from bench.record import Scalar, Subject, Value
from bench.store import Store


@dataclass
class Sum:
    """Adds numbers up, of which every rank has a share where it is SHARED.

    The head says what goes wrong, such as `rank1_before`: rank 1 fails before the ranks meet.
    """

    SHARED: bool
    VERSION: int = 1
    TIMED: bool = False
    NEEDS_IMAGES: bool = False
    NEEDS_WEIGHTS: bool = False

    def protocol(self, subject: Subject, context: Context) -> dict[str, Scalar]:
        return {"numbers": 10}

    def measure(self, subject: Subject, context: Context) -> Measurement:
        self._fail(subject, "before")
        parts = ranks.gather(sum(ranks.shard(range(10)))) if self.SHARED else [sum(range(10))]
        self._fail(subject, "after")
        total = float("nan") if subject.head == "nan" else sum(parts)
        return Measurement(values=(Value(name="total", value=total),))

    def _fail(self, subject: Subject, place: str) -> None:
        if subject.head in (f"rank{ranks.rank()}_{place}", f"all_{place}"):
            raise RuntimeError(f"out of memory {place} the ranks met")


SUMS = {"shared": Sum(SHARED=True), "alone": Sum(SHARED=False)}
HEADS = ("fine", "rank0_before", "rank1_before", "rank0_after", "rank1_after", "all_before", "nan", "fine_again")


def sums() -> list[Cell]:
    return [Cell(recipe="sums", subject=Subject(head=head), probe=probe) for head in HEADS for probe in SUMS]


def models() -> list[Cell]:
    subject = Subject(head="mask_rcnn", backbone="small_fpn", preset="small")
    return [Cell(recipe="models", subject=subject, probe=probe) for probe in ("predictions", "accuracy_true_boxes")]


def main(results: Path, coco: Path) -> None:
    torch.set_num_threads(1)
    context = Context(data=coco_layout(coco), images=3)
    for name in ("rank", "again"):
        store = Store(results)
        of_models = plan.load_probes(cell.probe for cell in models())
        plans = [
            plan.prepare(cells, probes, context, store) for cells, probes in ((sums(), SUMS), (models(), of_models))
        ]
        outcomes = [outcome for steps in plans for outcome in plan.run(steps, context, store)]
        said = [(str(outcome.cell), outcome.measured, outcome.entry.path.name) for outcome in outcomes]
        (results / f"{name}{ranks.rank()}.json").write_bytes(msgspec.json.encode(said))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
