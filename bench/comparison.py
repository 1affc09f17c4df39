"""What separates two cells, or all that two subjects have in common: the Python twin of the verb `compare`.

Accuracies are compared by their match tables (`bench.accuracy.comparison`). Here is the rest: what was measured of
every image is resampled by images, the same ones for both, and what no image has a part in is exact. Imports no torch.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int

from bench.accuracy.bootstrap import Comparison, draw, require_drawable
from bench.accuracy.comparison import Difference, Operand, compare_errors, has_matches, no_result, of_cell
from bench.accuracy.comparison import compare as compare_accuracies
from bench.accuracy.significance import SIGNIFICANCE, interval, paired
from bench.per_image import PerImage, per_image
from bench.record import Record, Value
from bench.store import Entry, Store

FEWEST_IMAGES = 6
"""Of five images all may speak for one side, and by chance do so in 2 of 32 draws: more often than one in twenty."""

_TIMES = ("ms", "s", "1/s")
_EXACT = ("parameters", "bytes", "MACs", "regions")
"""Units of what is counted: the same on every run, where no image has a part in it."""

_IMAGES = ("kind", "images", "annotations", "lvis", "objects_without_mask")
"""What a protocol says of the images of a run."""

_NUM_NAMED = 4
"""How many of the values that cannot be compared are named."""


@dataclass(frozen=True, kw_only=True)
class CostDifference:
    """One number of two cells that is no accuracy: a time, multiply-adds, memory, parameters.

    `value` is that of the second record, with its unit and axes. The ratio is the second number by the first, None
    where that is zero; its 95 % interval is of the same resamples as that of the difference. An `exact` difference has
    neither: no image has a part in it, or every image has the same number in both.
    """

    probe: str
    value: Value
    comparison: Comparison
    ratio_interval: tuple[float, float] | None
    exact: bool

    @property
    def name(self) -> str:
        """Name of the value in records."""
        return self.value.name

    @property
    def ratio(self) -> float | None:
        """The second by the first."""
        return self.comparison.second / self.comparison.first if self.comparison.first else None

    @property
    def verdict(self) -> str:
        """Verdict on the second cell, in one or two words."""
        found = self.comparison
        if self.exact and found.difference == 0:
            return "equal"
        if not self.exact:
            if found.p is None:
                return "too few images"
            if not found.significant:
                return "not significant"
        return "higher" if found.difference > 0 else "lower"

    def row(self) -> dict[str, str | float | Mapping[str, str | int] | None]:
        """The difference in plain values, as a table takes it."""
        low, high = self.comparison.interval or (None, None)
        ratio_low, ratio_high = self.ratio_interval or (None, None)
        return {
            "probe": self.probe,
            "name": self.name,
            "at": self.value.at,
            "unit": self.value.unit,
            "first": self.comparison.first,
            "second": self.comparison.second,
            "difference": self.comparison.difference,
            "low": low,
            "high": high,
            "ratio": self.ratio,
            "ratio_low": ratio_low,
            "ratio_high": ratio_high,
            "p": self.comparison.p,
            "exact": self.exact,
            "verdict": self.verdict,
        }


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Two results by one probe, which is None where one is a results file: all differences are accuracies, or none is.

    `lost` are those of where AP is lost, where this was asked for. `notes` are sentences on what else differs, and on
    what could not be compared. There may be no difference at all.
    """

    probe: str | None
    first: str
    second: str
    accuracies: Sequence[Difference] = ()
    lost: Sequence[Difference] = ()
    costs: Sequence[CostDifference] = ()
    notes: tuple[str, ...] = ()

    @property
    def differences(self) -> Sequence[Difference | CostDifference]:
        """All of them."""
        return [*self.accuracies, *self.lost, *self.costs]


def compare(
    first: str,
    second: str,
    results: Path,
    *,
    scored: Callable[[str], Operand],
    errors: bool = False,
    resamples: int = 1000,
    seed: int = 0,
) -> list[Compared]:
    """Compare two cells (`recipe/subject/probe`), two subjects (`recipe/subject`) by all probes, or results files.

    The newest record of a cell in the store `results` counts. Where either is a results file, `scored` gives both
    sides, as `bench.accuracy.comparison.result` does; with `errors` it also says why cells do not serve. Of two
    subjects, a probe that cannot be compared says why in its notes. Raises ValueError where nothing can be compared:
    unknown names, records with errors, other images, times of two machines.
    """
    require_drawable(resamples, seed)
    if errors or Path(first).is_file() or Path(second).is_file():
        sides = scored(first), scored(second)
        found = compare_accuracies(*sides, resamples=resamples, seed=seed)
        lost = compare_errors(*sides, resamples=resamples, seed=seed)
        return [Compared(probe=None, first=sides[0].name, second=sides[1].name, accuracies=found, lost=lost)]
    store = Store(results)
    newest = {entry.cell: entry for entry in store}  # the newest comes last
    ours, theirs = (_found(name, store, newest) for name in (first, second))
    named = [name for name, entries in ((first, ours), (second, theirs)) if name in {each.cell for each in entries}]
    if len(named) == 1:
        raise ValueError(
            f"Only {named[0]} names a probe; expected two cells or two subjects; name the probe of both or of none."
        )
    if named:
        return [_compared(ours[0], theirs[0], resamples, seed)]
    return _all_probes(first, second, ours, theirs, resamples, seed)


def _found(name: str, store: Store, newest: Mapping[str, Entry]) -> list[Entry]:
    """The newest entry of a cell, or of every probe of a subject."""
    found = [entry for cell, entry in newest.items() if name in (cell, cell.rpartition("/")[0])]
    if not found:
        try:
            store.cell(name)
        except ValueError as error:
            raise no_result(name, error) from error
    return found


def _all_probes(
    first: str, second: str, ours: Sequence[Entry], theirs: Sequence[Entry], resamples: int, seed: int
) -> list[Compared]:
    by_probe = {entry.record.probe: entry for entry in theirs}
    pairs = [(entry, by_probe[entry.record.probe]) for entry in ours if entry.record.probe in by_probe]
    if not pairs:
        have = [", ".join(entry.record.probe for entry in side) for side in (ours, theirs)]
        raise ValueError(
            f"{first} was measured by {have[0]}, {second} by {have[1]}; expected a probe that both have; measure both "
            "by one, or name two other subjects."
        )
    found = [_compared_or_why_not(*pair, resamples, seed) for pair in sorted(pairs, key=lambda pair: pair[0].cell)]
    if not any(each.differences for each in found):
        reasons = " ".join(note for each in found for note in each.notes)
        raise ValueError(
            f"Nothing of {first} and {second} can be compared; expected a probe that measured both alike; measure both "
            f"by one. {reasons}"
        )
    return found


def _compared_or_why_not(first: Entry, second: Entry, resamples: int, seed: int) -> Compared:
    try:
        return _compared(first, second, resamples, seed)
    except ValueError as problem:
        return Compared(probe=second.record.probe, first=first.cell, second=second.cell, notes=(str(problem),))


def _compared(first: Entry, second: Entry, resamples: int, seed: int) -> Compared:
    """Compare two records. Raises ValueError where they cannot be."""
    for entry in (first, second):
        if entry.record.error is not None:
            raise ValueError(
                f"The newest record of {entry.cell} has an error ({entry.record.error.message}); expected one with "
                f"values; measure it again; the record is {entry.path}."
            )
        if entry.record.samples is not None and entry.samples_path is None:
            raise ValueError(
                f"The record of {entry.cell} has lost its samples, {entry.record.samples}; expected that file beside "
                f"it; restore the file, or measure again; the record is {entry.path}."
            )
    probe = second.record.probe
    if has_matches(first.record) or has_matches(second.record):
        accuracies = compare_accuracies(of_cell(first), of_cell(second), resamples=resamples, seed=seed)
        return Compared(probe=probe, first=first.cell, second=second.cell, accuracies=accuracies)
    _require_comparable(first, second)
    costs = [*_costs(first, second, resamples, seed)]
    left_out = _left_out(first.record, second.record, {(each.name, *each.value.at.items()) for each in costs})
    if not costs:
        raise ValueError(
            f"{probe} kept no numbers of single images and counts nothing exactly, so nothing says how "
            f"sure a difference of {first.cell} and {second.cell} is; expected a probe such as speed, flops or params; "
            "name one of these, or read the values with `explain`."
        )
    notes = (*_notes(first.record, second.record), *left_out)
    return Compared(probe=probe, first=first.cell, second=second.cell, costs=costs, notes=notes)


def _require_comparable(first: Entry, second: Entry) -> None:
    """Raise ValueError where no value of two records can be compared."""
    ours, theirs = first.record, second.record
    for part in ("probe", "version"):
        if ours.protocol[part] != theirs.protocol[part]:
            raise ValueError(
                f"{first.cell} was measured by {ours.probe} {ours.protocol['version']}, {second.cell} by "
                f"{theirs.probe} {theirs.protocol['version']}; expected one probe and version; measure both again."
            )
    other = [
        f"{name} {value} and {theirs.machine.identity()[name]}"
        for name, value in ours.machine.identity().items()
        if value != theirs.machine.identity()[name]
    ]
    if other and any(value.unit in _TIMES for value in (*ours.values, *theirs.values)):
        raise ValueError(
            f"{first.cell} and {second.cell} hold times of two machines ({'; '.join(other)}); times compare on one "
            "machine with the same threads and torch; measure both there."
        )
    images = [
        f"{part} {mine} and {other}"
        for part, mine, other in zip((*_IMAGES, "skipped"), _images_of(ours), _images_of(theirs), strict=True)
        if mine != other
    ]
    if images:
        raise ValueError(
            f"{first.cell} and {second.cell} are not of the same images ({'; '.join(images)}); a paired difference "
            "needs the same ones; measure both on these."
        )


def _images_of(record: Record) -> tuple[object, ...]:
    """What says of which images a record is; of those that were skipped, the checksum of their list."""
    skipped = (checksum for name, checksum in record.files.items() if name.endswith(".skipped.json"))
    return (*map(record.protocol.get, _IMAGES), next(skipped, None))


def _costs(first: Entry, second: Entry, resamples: int, seed: int) -> Iterator[CostDifference]:
    """Every value that both records have and that is sure, or can be said how sure it is."""
    ours, theirs = first.record, second.record
    images = ours.find("images")
    num_images = None if images is None else int(images.value)
    samples = first.arrays(), second.arrays()
    drawn = None if num_images is None else _drawn(num_images, resamples, seed)
    for value in _candidates(ours, theirs):
        pair = ours.get(value.name, **value.at), value
        if drawn is not None and num_images is not None:
            sides = [per_image(each, arrays, num_images) for each, arrays in zip(pair, samples, strict=True)]
            if sides[0] is not None and sides[1] is not None:
                yield _resampled(theirs.probe, pair, (sides[0], sides[1]), drawn)
        elif value.unit in _EXACT:
            found = Comparison(first=pair[0].value, second=value.value, interval=None, p=None)
            yield CostDifference(probe=theirs.probe, value=value, comparison=found, ratio_interval=None, exact=True)


def _candidates(first: Record, second: Record) -> Iterator[Value]:
    """What both records measured, but neither how many images there were nor checks of rulers against each other."""
    for value in second.values:
        about_data = value.unit == "images" or value.name.startswith(("data_", "check_"))
        if not about_data and first.find(value.name, **value.at) is not None:
            yield value


def _drawn(num_images: int, resamples: int, seed: int) -> Int[np.ndarray, "B I"]:
    """The images of every resample [B I], those by which accuracies are resampled."""
    counts = draw(num_images, resamples, seed)
    return np.repeat(np.tile(np.arange(num_images), resamples), counts.ravel()).reshape(resamples, num_images)


def _resampled(
    probe: str,
    pair: tuple[Value, Value],
    sides: tuple[PerImage, PerImage],
    drawn: Int[np.ndarray, "B I"],
) -> CostDifference:
    alike = np.array_equal(sides[0].array, sides[1].array)
    before, after = (side.statistic(side.array[drawn]) for side in sides)
    found = paired(before, after) if drawn.shape[1] >= FEWEST_IMAGES and not alike else None
    bounds, p = (None, None) if found is None else found
    ratios = None
    if found is not None and np.all(before > 0):
        ratios = interval(after / before, 1 - SIGNIFICANCE)
    return CostDifference(
        probe=probe,
        value=pair[1],
        comparison=Comparison(first=pair[0].value, second=pair[1].value, interval=bounds, p=p),
        ratio_interval=ratios,
        exact=alike,
    )


def _notes(first: Record, second: Record) -> Iterator[str]:
    """What else than the subject differs, in sentences."""
    parts = dict.fromkeys((*first.protocol, *second.protocol))
    different = [
        f"{part} {first.protocol.get(part)} and {second.protocol.get(part)}"
        for part in parts
        if first.protocol.get(part) != second.protocol.get(part)
    ]
    if different:
        yield f"They were measured in different ways, which is part of the difference: {'; '.join(different)}."
    if "bytes" in {value.unit for value in second.values} and first.machine.identity() != second.machine.identity():
        machines = f"{first.machine.name}, {second.machine.name}"
        yield f"They were measured on two machines or set-ups, which may need other memory: {machines}."


def _left_out(first: Record, second: Record, shown: Collection[tuple[object, ...]]) -> Iterator[str]:
    kept = (value.name for value in _candidates(first, second) if (value.name, *value.at.items()) not in shown)
    names = list(dict.fromkeys(kept))
    if names:
        more = f" and {len(names) - _NUM_NAMED} more" if len(names) > _NUM_NAMED else ""
        yield (
            f"Left out, because nothing says how sure their differences are: {', '.join(names[:_NUM_NAMED])}{more}; "
            "`explain` shows them."
        )
