"""Does a change move a number? Measures what a laptop can in a checkout, and compares what two checkouts gave.

Costs of the four heads, the embedded benchmark on 10 images, every backend's certificate, and the accuracy of small
results files: about 15 minutes on 2 cores, in each checkout. For a change on a branch of `main`:

git worktree add ../before main
python -m benchmarks.same_numbers measure /tmp/before --checkout ../before
python -m benchmarks.same_numbers measure /tmp/after
python -m benchmarks.same_numbers compare /tmp/before /tmp/after

Values, their units and intervals, arrays and files must be the same to the last bit. Of what depends on the machine
(times, rates, bytes of `TIMED` probes, and all their arrays) only the names must be. Protocols are told, not judged.
Exit codes: 0 nothing differs, 1 something does, 2 usage.
"""

import argparse
import itertools
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from bench import catalog
from bench.planning.recipes import HEADS
from bench.record import Record, Scalar, decode
from bench.store import Array, Store

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT / "tests" / "golden" / "accuracy"
SAME, DIFFERENT, USAGE = 0, 1, 2

SCORED = {"coco": "coco", "lvis": "lvis", "lvis_odd": "lvis"}
"""The golden sets of results and annotations, and whose rules they are scored by."""

MEASURED_UNITS = {"", "ms", "s", "1/s", "bytes", "bytes/s", "MACs/s"}
"""Units of what a `TIMED` probe finds on a machine; "" for what it makes of two such values."""

ALWAYS_CHANGES = {("certificate", "sparsity")}
"""Fields of protocols, by probe, that every change moves: the checksum of the code itself."""

Place = tuple[str, tuple[tuple[str, str | int], ...]]
"""Which value: its name, and where it stands on the axes, sorted."""

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, kw_only=True)
class Number:
    """A measured value. `exact`: it does not depend on the machine."""

    value: int | float
    unit: str
    interval: tuple[float, float] | None
    exact: bool


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What a record says, whatever its schema. `files` are checksums by name, without the record's key.

    `arrays` are those of its npz file, bit by bit where `exact_arrays`.
    """

    probe: str
    numbers: Mapping[Place, Number]
    error: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    arrays: Mapping[str, Array] = field(default_factory=dict)
    exact_arrays: bool = True
    protocol: Mapping[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something that two measurements of a cell do not share; a `note` is no difference of numbers."""

    cell: str
    text: str
    note: bool = False


def differences(before: Mapping[str, Cell], after: Mapping[str, Cell]) -> Iterator[Finding]:
    """What differs between two sets of cells, by the name of the cell."""
    for name in sorted(before.keys() | after.keys()):
        if name not in before or name not in after:
            yield Finding(cell=name, text=f"only {'after' if name in after else 'before'}")
            continue
        old, new = before[name], after[name]
        for text in itertools.chain(_numbers(old, new), _files(old, new), _arrays(old, new)):
            yield Finding(cell=name, text=text)
        if old.error != new.error:
            both = old.error is not None and new.error is not None
            yield Finding(cell=name, text=f"error: {old.error} -> {new.error}", note=both)
        for what, ours, theirs in _pairs(old.protocol, new.protocol):
            if ours != theirs and (old.probe, what) not in ALWAYS_CHANGES:
                yield Finding(cell=name, text=f"protocol {what}: {ours} -> {theirs}", note=True)


def _numbers(old: Cell, new: Cell) -> Iterator[str]:
    for place, ours, theirs in _pairs(old.numbers, new.numbers):
        what = " ".join([place[0], *(f"{axis}={where}" for axis, where in place[1])])
        if ours is None or theirs is None:
            yield f"value {what}: only {'before' if theirs is None else 'after'}"
            continue
        if ours.unit != theirs.unit:
            yield f"unit of {what}: {ours.unit!r} -> {theirs.unit!r}"
        if not (ours.exact and theirs.exact):
            continue
        if ours.value != theirs.value:
            yield f"value {what}: {ours.value!r} -> {theirs.value!r} {theirs.unit}".rstrip()
        if ours.interval != theirs.interval:
            yield f"interval of {what}: {ours.interval} -> {theirs.interval}"


def _files(old: Cell, new: Cell) -> Iterator[str]:
    for name, ours, theirs in _pairs(old.files, new.files):
        if ours != theirs:
            yield f"file {name}: {ours} -> {theirs}"


def _arrays(old: Cell, new: Cell) -> Iterator[str]:
    for name, ours, theirs in _pairs(old.arrays, new.arrays):
        if ours is None or theirs is None:
            yield f"array {name}: only {'before' if theirs is None else 'after'}"
        elif not (old.exact_arrays and new.exact_arrays):
            continue
        elif (ours.dtype, ours.shape) != (theirs.dtype, theirs.shape):
            yield f"array {name}: {ours.dtype} {list(ours.shape)} -> {theirs.dtype} {list(theirs.shape)}"
        elif ours.tobytes() != theirs.tobytes():
            bits = [np.ascontiguousarray(each).reshape(-1, 1).view(np.uint8) for each in (ours, theirs)]
            yield f"array {name}: {np.count_nonzero((bits[0] != bits[1]).any(axis=1))} of {ours.size} elements differ"


def _pairs(old: Mapping[K, V], new: Mapping[K, V]) -> Iterator[tuple[K, V | None, V | None]]:
    """Every key of two mappings with both of its values, None where one of them lacks it."""
    for key in dict.fromkeys([*old, *new]):
        yield key, old.get(key), new.get(key)


def cell(record: Record, arrays: Mapping[str, Array]) -> Cell:
    """What is compared of a record."""
    timed = catalog.constant(f"bench.probes.{record.probe}", "TIMED") is True
    numbers: dict[Place, Number] = {}
    for row in record.values:
        exact = not (timed and row.unit in MEASURED_UNITS)
        number = Number(value=row.value, unit=row.unit, interval=row.interval, exact=exact)
        numbers[row.name, tuple(sorted(row.at.items()))] = number
    return Cell(
        probe=record.probe,
        numbers=numbers,
        error=None if record.error is None else f"{record.error.type}: {record.error.message}",
        files={name.partition(".")[2]: checksum for name, checksum in record.files.items()},
        arrays=arrays,
        exact_arrays=not timed,
        protocol=record.protocol,
    )


def read(folder: Path) -> dict[str, Cell]:
    """Cells that `measure` left in a folder, by recipe, subject and probe.

    Raises ValueError where there is none, where one cannot be read, and where one was measured in two ways.
    """
    store = Store(folder / "results")
    found = [(entry.cell, cell(entry.record, entry.arrays())) for entry in store]
    if store.skipped:
        raise ValueError(f"{next(iter(store.skipped))} is no readable record; all must be; measure into a new folder.")
    for path in sorted(folder.glob("evaluate-*.jsonl")):
        for line in path.read_bytes().splitlines():
            record = decode(line)
            found.append((f"{path.stem}/{record.subject.name}/{record.probe}", cell(record, {})))
    if not found:
        raise ValueError(f"There are no records in {folder}; expected what `measure` writes; run it first.")
    cells = dict(found)
    if len(cells) < len(found):
        twice = next(name for name in cells if [each for each, _ in found].count(name) > 1)
        raise ValueError(f"{folder} holds {twice} measured in two ways; expected one; measure into a new folder.")
    return cells


def commands(out: Path) -> Iterator[list[str]]:
    """The command lines of a measurement, without the interpreter and the program."""
    results = ["--results", str(out / "results")]
    yield ["run", "heads", "--heads", *HEADS, "--probes", "params", "flops", *results]
    yield ["run", "demo", "--images", "10", *results]
    yield ["certify", *results]
    for name, rules in SCORED.items():
        predictions = ["--predictions", str(GOLDEN / f"{name}_results.json")]
        annotations = [f"--{rules}-annotations", str(GOLDEN / f"{name}_annotations.json")]
        record = ["--json", str(out / f"evaluate-{name.replace('_', '-')}.jsonl")]
        yield ["evaluate", *predictions, *annotations, *record]


def measure(out: Path, checkout: Path) -> int:
    """Measure in a checkout, whose modules this interpreter then takes. Raises ValueError where `out` is not new."""
    if out.exists() and any(out.iterdir()):
        raise ValueError(f"{out} is not empty; records of two measurements must not mix; name a new folder.")
    out.mkdir(parents=True, exist_ok=True)
    codes = []
    for command in commands(out.absolute()):
        print("run_bench.py", *command, flush=True)
        codes.append(subprocess.run([sys.executable, "run_bench.py", *command], cwd=checkout, check=False).returncode)
    if any(codes):
        print(f"Exit codes, in order: {codes}. A cell that failed is a record with its error, and is compared.")
    return DIFFERENT if any(codes) else SAME


def compare(before: Path, after: Path) -> int:
    """Print what differs between two measurements."""
    old, new = read(before), read(after)
    found = list(differences(old, new))
    for finding in found:
        print(f"{'note     ' if finding.note else 'DIFFERENT'} {finding.cell}: {finding.text}")
    shared = [new[name] for name in new if name in old]
    num_exact = sum(number.exact for each in shared for number in each.numbers.values())
    num_different = sum(not finding.note for finding in found)
    num_files, num_arrays = sum(len(each.files) for each in shared), sum(len(each.arrays) for each in shared)
    print(
        f"{len(shared)} cells on both sides with {num_exact} exact values, {num_files} files and {num_arrays} arrays: "
        f"{num_different or 'no'} differences, {len(found) - num_different} notes."
    )
    return DIFFERENT if num_different else SAME


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure or compare, and give the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    to_measure = verbs.add_parser("measure", help="measure in a checkout")
    to_measure.add_argument("out", type=Path, help="a new folder")
    to_measure.add_argument("--checkout", type=Path, default=ROOT, help="the project's folder (default: this one)")
    to_compare = verbs.add_parser("compare", help="compare two measurements")
    to_compare.add_argument("before", type=Path)
    to_compare.add_argument("after", type=Path)
    options = parser.parse_args(arguments)
    try:
        measuring = options.verb == "measure"
        return measure(options.out, options.checkout) if measuring else compare(options.before, options.after)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE


if __name__ == "__main__":
    sys.exit(main())
