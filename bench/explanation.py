"""What a number of the store is: what was measured, how, and what could bias it; the Python twin of `explain`.

Everything is read from the record and from the docstring of its probe. Imports no torch.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import catalog, machine
from bench.record import Machine, Record
from bench.store import Entry, Store


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """A record in words. `what` is what its probe says of itself, `cautions` what a reader of the values must know.

    `others` are the records of the same cell that were measured in another way or on another machine, newest first.
    """

    entry: Entry
    what: str
    cautions: tuple[str, ...]
    others: tuple[Entry, ...]


def explain(cell: str, results: Path | str = "results") -> Explanation:
    """Explain the newest record of a cell, named `recipe/subject/probe` as `list` prints it.

    Raises ValueError where the store has none.
    """
    entry, *others = Store(Path(results)).cell(cell)
    return Explanation(
        entry=entry,
        what=catalog.docstring(f"bench.probes.{entry.record.probe}"),
        cautions=tuple(_cautions(entry.record, machine.card())),
        others=tuple(others),
    )


def _cautions(record: Record, here: Machine) -> Iterator[str]:
    if record.error is not None:
        yield f"It failed and has no values: {record.error.type}: {record.error.message}"
    yield from _of_code(record)
    yield from _of_subject(record)
    yield from _of_protocol(record)
    yield from _of_machine(record, here)
    if record.uncounted:
        yield f"Operations that the cost leaves out: {', '.join(record.uncounted)}."
    skipped = record.find("images_skipped")
    if skipped is not None and skipped.value:
        yield f"{skipped.value} images could not be read and are left out."


def _of_code(record: Record) -> Iterator[str]:
    if record.code.commit is None:
        yield "It was measured outside a git checkout: nothing says with which code."
    elif record.code.dirty:
        yield f"Files differed from commit {record.code.commit[:12]}: checking that out does not repeat it for certain."
    current = catalog.constant(f"bench.probes.{record.probe}", "VERSION")
    if isinstance(current, int) and current != record.protocol["version"]:
        yield (
            f"Its probe had version {record.protocol['version']} and has {current} now: the same measurement gives "
            "other values today, and `run` makes it anew."
        )


def _of_subject(record: Record) -> Iterator[str]:
    if record.subject.weights == "random":
        yield (
            "The weights are random: what depends on what a model finds (regions, accuracy, times of images) says "
            "nothing of a trained one."
        )
    elif record.subject.weights != "none":
        yield f"It is of one training, seed {record.subject.seed}: another seed gives other values."


def _of_protocol(record: Record) -> Iterator[str]:
    protocol = record.protocol
    if protocol.get("kind") == "nominal":
        yield (
            "No image was looked at: sizes are those of 100 images of val2017, and the number of regions is given, not "
            "found."
        )
    if str(protocol.get("images", "")).startswith("first "):
        yield f"It is over the {protocol['images']} images by id, not over the whole data set."
    if str(protocol.get("detections", "")).startswith("ground_truth"):
        yield "The boxes are true ones: mistakes of the detector do not count."
    if any(value.interval is not None for value in record.values):
        yield "Intervals are over the choice of images; they say nothing of training seeds."
    if protocol.get("dtype") not in (None, "float32"):
        yield f"Weights and images were {protocol['dtype']}; the tables of the paper are float32."


def _of_machine(record: Record, here: Machine) -> Iterator[str]:
    if not any(value.unit in ("ms", "s", "1/s") for value in record.values):
        return
    threads = f", {record.machine.threads} threads of torch" if record.machine.threads is not None else ""
    yield f"Times are of {record.machine.name}{threads}, and of what else it did then: compare them on one machine."
    if record.machine.name != here.name:
        yield f"That is not this machine, which is {here.name}."
