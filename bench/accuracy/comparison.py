"""What separates the accuracies of two results on the same images, metric by metric.

A result is a cell of a store, whose match tables lie beside its record, or a results file with its annotation files.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.accuracy import analysis, bootstrap
from bench.accuracy.analysis import Analysis
from bench.accuracy.archive import unpack
from bench.accuracy.bootstrap import Comparison
from bench.accuracy.evaluate import Evaluation, evaluate
from bench.accuracy.matching import Matches
from bench.accuracy.protocol import COUNT_PREFIXES, PRESETS, VALUE_PREFIXES, value_name
from bench.data.image_ids import Id
from bench.record import Record, Scalar
from bench.store import Entry, Store


@dataclass(frozen=True, kw_only=True)
class Operand:
    """One side of a comparison: match tables by protocol, and the checksum of the annotation file of each.

    `probe` is that of a cell, None for a results file. `analyses` say where it loses, by protocol, where this was asked
    for.
    """

    name: str
    tables: Mapping[str, Matches]
    annotations: Mapping[str, str]
    probe: str | None = None
    analyses: Mapping[str, Analysis] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One metric of two results; `name` is that of the value in records, such as `ap_star50`, and `at` its places.

    `probe` is that of the second result, if it is a cell.
    """

    protocol: str
    name: str
    comparison: Comparison
    probe: str | None = None
    at: Mapping[str, str] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """Verdict on the second result, in one or two words."""
        if self.comparison.p is None:
            return "too few images"
        if not self.comparison.significant:
            return "not significant"
        return "higher" if self.comparison.difference > 0 else "lower"

    def row(self) -> dict[str, str | float | None]:
        """The difference in plain values, as a table takes it."""
        low, high = self.comparison.interval or (None, None)
        return {
            "probe": self.probe,
            "name": self.name,
            **self.at,
            "first": self.comparison.first,
            "second": self.comparison.second,
            "difference": self.comparison.difference,
            "low": low,
            "high": high,
            "p": self.comparison.p,
            "verdict": self.verdict,
        }


def compare(first: Operand, second: Operand, *, resamples: int = 1000, seed: int = 0) -> list[Difference]:
    """Every metric of every protocol that both results have, with intervals from the same resamples of the images.

    Raises ValueError where the results have no protocol in common, or are not of the same objects or images.
    """
    shared = [protocol for protocol in first.tables if protocol in second.tables]
    if not shared:
        raise ValueError(
            f"{first.name} was scored by {', '.join(first.tables)}, {second.name} by {', '.join(second.tables)}; "
            "expected a protocol in common; score both with the same annotation files."
        )
    differences = []
    for protocol in shared:
        _require_same_objects(first, second, protocol)
        compared = bootstrap.compare(first.tables[protocol], second.tables[protocol], resamples=resamples, seed=seed)
        differences += [
            Difference(protocol=protocol, name=value_name(protocol, metric), comparison=comparison, probe=second.probe)
            for metric, comparison in compared.items()
        ]
    return differences


def compare_errors(first: Operand, second: Operand, *, resamples: int = 1000, seed: int = 0) -> list[Difference]:
    """What separates the analyses that both results have: what errors cost, and how well the same objects are drawn.

    Raises ValueError where the results are not of the same objects or images.
    """
    return [
        Difference(protocol=protocol, name=name, at=at, comparison=found)
        for protocol in first.analyses
        if protocol in second.analyses
        for name, at, found in analysis.compare(
            first.analyses[protocol], second.analyses[protocol], resamples=resamples, seed=seed
        )
    ]


def result(
    operand: str,
    results: Path,
    *,
    coco: Path | None = None,
    lvis: Path | None = None,
    images: Collection[Id] | None = None,
    allow_unknown: bool = False,
    leave_out_maskless: bool = False,
    boxes: bool = False,
    class_agnostic: bool = False,
    cap: int | None = None,
    errors: bool = False,
) -> Operand:
    """Find one side of a comparison: a results file where there is one of that name, else the cell of that name.

    Cells are named `recipe/subject/probe`, as `list` prints them, and looked for in the store `results`; the newest
    record counts, on the images of its own run. A results file is scored with the annotation files, on `images` or on
    all of each, with `boxes`, `class_agnostic`, `cap` and `errors` as by `evaluate`; cells are as they were measured.
    Raises ValueError where there is neither, where the cell has no accuracy, for the errors of a cell, for a file
    without annotations, and as `evaluate`.
    """
    path = Path(operand)
    if path.is_file():
        found = evaluate(
            path,
            coco=coco,
            lvis=lvis,
            images=images,
            resamples=0,
            allow_unknown=allow_unknown,
            leave_out_maskless=leave_out_maskless,
            boxes=boxes,
            class_agnostic=class_agnostic,
            cap=cap,
            errors=errors,
        )
        return _of_file(path, found)
    if errors:
        raise ValueError(
            f"The errors of {operand} are asked for and there is no such file; expected a results file, for cells keep "
            "match tables and no masks; give the predictions that the probe `predictions` wrote, with the annotations."
        )
    try:
        newest, *_ = Store(results).cell(operand)
    except ValueError as error:
        raise no_result(operand, error) from error
    return of_cell(newest)


def no_result(name: str, error: ValueError) -> ValueError:
    """Say that there is no results file of a name, and with the error of the store no such cell either."""
    return ValueError(f"There is no results file {name}, so it should be a cell. {error}")


def _of_file(path: Path, evaluation: Evaluation) -> Operand:
    return Operand(
        name=path.name,
        tables={score.protocol.name: score.matches for score in evaluation.scores},
        annotations=_annotations(evaluation.protocol),
        analyses={each.matches.protocol.name: each for each in evaluation.analyses},
    )


def has_matches(record: Record) -> bool:
    """Whether a record has match tables, which accuracies are compared by."""
    return record.samples is not None and any(record.find(f"{prefix}_classes") for prefix in COUNT_PREFIXES.values())


def of_cell(entry: Entry) -> Operand:
    """The side of a measured cell. Raises ValueError where its record has an error, or no accuracy."""
    record = entry.record
    if record.error is not None:
        raise ValueError(
            f"The newest record of {entry.cell} has an error ({record.error.message}); expected one with an accuracy; "
            f"measure it again; the record is {entry.path}."
        )
    if not has_matches(record):
        raise ValueError(
            f"The record of {entry.cell} holds no match tables; expected that of a probe of accuracy; "
            f"name another cell; the record is {entry.path}."
        )
    tables = {table.protocol.name: table for table in unpack(entry.arrays())}
    return Operand(name=entry.cell, tables=tables, annotations=_annotations(record.protocol), probe=record.probe)


def _annotations(protocol: Mapping[str, Scalar]) -> dict[str, str]:
    """The checksum of the annotation file by protocol: LVIS's rules go with the LVIS file."""
    return {name: str(protocol.get("lvis" if PRESETS[name].federated else "annotations")) for name in VALUE_PREFIXES}


def _require_same_objects(first: Operand, second: Operand, protocol: str) -> None:
    checksums = first.annotations[protocol], second.annotations[protocol]
    if checksums[0] != checksums[1]:
        raise ValueError(
            f"{first.name} and {second.name} were scored by {protocol} on different annotation files ({checksums[0]}, "
            f"{checksums[1]}); expected the same objects; score both with the same file."
        )
