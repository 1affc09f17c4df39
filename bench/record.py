"""What a measurement leaves behind: subject, protocol, machine, code, values, in one JSON file with a strict schema.

Structs of msgspec rather than dataclasses: only these refuse unknown fields when they are read. This file imports
neither torch nor numpy, so that reports and the command line start fast.
"""

import difflib
import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from typing import Annotated

import msgspec
from msgspec import Meta

from bench import schema1

SCHEMA = 2

_NUM_OFFERED = 5
"""How many values an error names."""

_NUM_SHOWN = 40
"""How many letters of a wrong name an error shows."""

_NO_NAME = re.compile(r"[/\\\x00]")
"""What the name of a file cannot have."""

_PROBE = re.compile(r"\w{1,100}")
"""The name of a probe, which is a part of the names of files."""

_LONGEST_FILE_NAME = 255
"""Bytes of it, by what file systems take."""

LONGEST_TEXT = 10_000
"""Letters of a text; a longer message of an error is cut."""

_LEAST, _MOST = -(2**63), 2**63 - 1

Name = Annotated[str, Meta(max_length=500)]
Text = Annotated[str, Meta(max_length=LONGEST_TEXT)]
Whole = Annotated[int, Meta(ge=_LEAST, le=_MOST)]
"""What is read of records that anybody may have written: bounded, so that whatever shows it takes no longer."""

Scalar = Text | Whole | float | bool | None


class Subject(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is measured. A field is None where it does not apply: only EffSeg has a backend and a module.

    `kernel` None is the backend's default, `detector` None the paper's, FQDet v1. `schedule` is "none" and `weights` is
    "random" for untrained weights, which are drawn from `seed`, and "none" for a subject that has none; otherwise it is
    the "sha256:..." of their file.
    """

    head: Name | None = None
    backend: Name | None = None
    kernel: Name | None = None
    module: Name | None = None
    backbone: Name | None = None
    detector: Name | None = None
    preset: Name | None = None
    schedule: Name = "none"
    seed: Whole = 0
    weights: Name = "random"

    @property
    def name(self) -> str:
        """Name, such as `effseg-sps-sfm-r50_fpn-paper-none-seed0`: that of its directory, if a file may have it."""
        parts = (self.head, self.backend, self.kernel, self.module, self.backbone, self.detector, self.preset)
        return "-".join([*(part for part in parts if part is not None), self.schedule, f"seed{self.seed}"])


class Machine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where it was measured. `threads` are torch's; `clock_mhz` is the highest clock the processor states.

    A field is None where it could not be read, or where there is no such part. `gpu_clock_mhz` and
    `gpu_power_limit_w` need nvidia-ml-py.
    """

    cpu: Name
    cores: Whole
    threads: Whole | None
    clock_mhz: float | None
    memory_bytes: Whole | None
    os: Name
    python: Name
    torch: Name | None
    gpu: Name | None = None
    gpu_memory_bytes: Whole | None = None
    gpu_clock_mhz: Whole | None = None
    gpu_power_limit_w: float | None = None

    @property
    def name(self) -> str:
        """Short directory name, such as `xeon-platinum-8481c-2c-h100`."""
        marketing = r"\((r|tm)\)|@.*|\b(amd|cpu|geforce|intel|nvidia|processor|\d+-core)\b"
        parts = [self.cpu, f"{self.cores}c", self.gpu or ""]
        words = re.findall(r"[a-z0-9]+", " ".join(re.sub(marketing, " ", part.lower()) for part in parts))
        return "-".join(words)

    def identity(self) -> dict[str, Scalar]:
        """The part that changes measured times: a record taken under another one is another measurement."""
        return {"cpu": self.cpu, "cores": self.cores, "threads": self.threads, "torch": self.torch, "gpu": self.gpu}


class Code(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which code measured. Both are None outside a git checkout, such as in an installed package."""

    commit: Name | None
    dirty: bool | None


class Failure(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a cell has no values: the exception and the last frames of its traceback, innermost last."""

    type: Name
    message: Text
    frames: tuple[Text, ...]


class Value(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One number of a record: what it is, of what part of the measurement, and how sure it is.

    `name` says what was measured, such as `ms` or `apb_star`; `unit` is "" for a plain number. `at` says of what, as
    axes with their places: {"stage": 1, "operation": "sfm"}; what is of the whole has none. The axes that come with the
    project are in `bench.names`. `interval` is (low, high).
    """

    name: Name
    value: Whole | float
    unit: Name = ""
    at: dict[Name, Name | Whole] = {}
    interval: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for numbers that are not finite or too large, and for an axis with the name of a field."""
        if not _RESERVED.isdisjoint(self.at):
            axis = ", ".join(sorted(_RESERVED & self.at.keys()))
            raise ValueError(
                f"The value {self.name!r} has the axis {axis}, which is the name of a field of records; an axis must "
                "have a name of its own; take another."
            )
        if isinstance(self.value, int) and not _LEAST <= self.value <= _MOST:
            raise ValueError(
                f"The value {self.label} is a whole number beyond 64 bits; numbers must fit; give it as a float, in "
                "a larger unit."
            )
        if not all(map(math.isfinite, (self.value, *(self.interval or ())))):
            raise ValueError(
                f"Values are not finite: {self.label}; all of them must be; leave out what does not exist."
            )

    @property
    def label(self) -> str:
        """Name and axes as one word, such as `stage1_sfm_ms`: for names of arrays and files, never to be read back."""
        parts = (f"{axis}{place}" if isinstance(place, int) else place for axis, place in self.at.items())
        return "_".join([*parts, self.name])


_OF_RECORD = ("recipe", "probe", "machine", "commit", "started", "protocol", "samples", "record")
_RESERVED = frozenset({*Subject.__struct_fields__, *Value.__struct_fields__, "low", "high", *_OF_RECORD})
"""What is no name of an axis: fields that stand beside the axes in a frame of values."""


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One measured cell. Its values are rows, never rounded; no two have the same name and axes.

    `protocol` says how it was measured, with at least `probe` and `version`. `samples` is the name of the npz file
    beside the record, `files` maps the names of the files beside it to their "sha256:...": that of the npz file, too,
    in records since 0.5. `uncounted` names operations a cost does not include. `started` is UTC in ISO 8601, `seconds`
    the time the probe took. A record with an `error` has no values.
    """

    schema: int = SCHEMA
    subject: Subject
    protocol: dict[Name, Scalar]
    machine: Machine
    code: Code
    values: tuple[Value, ...] = ()
    samples: str | None = None
    files: dict[str, Name] = {}
    uncounted: tuple[Name, ...] = ()
    error: Failure | None = None
    started: Name
    seconds: float

    def __post_init__(self) -> None:
        """Raise ValueError where a record contradicts itself; on reading, msgspec adds the place in the file."""
        if not {"probe", "version"} <= self.protocol.keys():
            found = ", ".join(self.protocol) or "nothing"
            raise ValueError(f"The protocol of a record has {found}; it must have 'probe' and 'version'; add them.")
        if not _PROBE.fullmatch(self.probe):
            raise ValueError(
                f"A record is of the probe {self.probe[:_NUM_SHOWN]!r}; it must be called as a module of Python; "
                "correct it."
            )
        counts = Counter((value.name, frozenset(value.at.items())) for value in self.values)
        twice = [f"{name} {dict(sorted(at))}" if at else name for (name, at), count in counts.items() if count > 1]
        if twice:
            raise ValueError(
                f"A record has two values of {', '.join(twice)}; a name must have one at each place; leave one out, or "
                "say by an axis in what they differ."
            )
        for name in (*self.files, *(() if self.samples is None else (self.samples,))):
            if not _is_file_name(name):
                raise ValueError(
                    f"A record has the file {name[:_NUM_SHOWN]!r}; files must lie beside it and have a name without a "
                    "path; correct it."
                )
        if self.error is not None and self.values:
            odd = ", ".join(value.label for value in self.values)
            raise ValueError(f"A record with an error has {odd}; it must have no values; leave them out.")

    @property
    def probe(self) -> str:
        """Name of the probe that measured."""
        return str(self.protocol["probe"])

    def find(self, name: str, **at: str | int) -> Value | None:
        """The value of a name at exactly this place; None where there is none."""
        return next((value for value in self.values if value.name == name and value.at == at), None)

    def get(self, name: str, **at: str | int) -> Value:
        """The value of a name at exactly this place: `record.get("ms", stage=1, operation="sfm").value`.

        Raises ValueError that names what there is where there is none.
        """
        found = self.find(name, **at)
        if found is None:
            raise ValueError(self._absent(name, at))
        return found

    def where(self, name: str | None = None, **at: str | int) -> tuple[Value, ...]:
        """All values of a name (None: of every name) whose axes include these places, in the order of the record."""
        return tuple(value for value in self.values if name in (None, value.name) and at.items() <= value.at.items())

    def axes(self, axis: str) -> tuple[str | int, ...]:
        """The places of an axis that the values have, each once, in the order of the record."""
        return tuple(dict.fromkeys(value.at[axis] for value in self.values if axis in value.at))

    def _repr_html_(self) -> str:
        """Show the values, or the error, in a notebook."""
        title = f"<p><b>{escape(self.subject.name)}</b>, {escape(self.probe)}</p>"
        if self.error is not None:
            return f"{title}<p>{escape(self.error.type)}: {escape(self.error.message)}</p>"
        lines = [_html_line("th", ("name", "of", "value", "unit", "interval"))]
        for value in self.values:
            interval = "" if value.interval is None else "{:.6g} to {:.6g}".format(*value.interval)
            number = str(value.value) if isinstance(value.value, int) else f"{value.value:.6g}"
            lines.append(_html_line("td", (value.name, _place(value.at), number, value.unit, interval)))
        return f"{title}<table>{''.join(lines)}</table>"

    def _absent(self, name: str, at: Mapping[str, str | int]) -> str:
        """Say that there is no such value, and which there are: of the name, else the closest or first names."""
        place = f" at {_place(at)}" if at else ""
        of_name = [f"{name} at {_place(value.at)}" if value.at else name for value in self.where(name)]
        names = list(dict.fromkeys(value.name for value in self.values))
        offered = of_name or difflib.get_close_matches(name, names, n=_NUM_OFFERED) or names
        more = f" ({len(offered)} in all)" if len(offered) > _NUM_OFFERED else ""
        return (
            f"The record of {self.probe} has no value {name!r}{place}; it has "
            f"{', '.join(offered[:_NUM_OFFERED]) or 'none'}{more}; name one of these, or look with `where`."
        )


def rows(
    named: Mapping[str, int | float],
    unit: str = "",
    *,
    intervals: Mapping[str, tuple[float, float]] | None = None,
    **at: str | int,
) -> Iterator[Value]:
    """Values of one unit at one place, from numbers by name; `intervals` has those of some of them."""
    for name, value in named.items():
        yield Value(name=name, value=value, unit=unit, at=dict(at), interval=(intervals or {}).get(name))


def _is_file_name(name: str) -> bool:
    """Whether a name is that of a file in the same folder, which no file system refuses and nothing hides."""
    num_bytes = len(name.encode("utf-8", "surrogatepass"))
    return 0 < num_bytes <= _LONGEST_FILE_NAME and name[0] != "." and _NO_NAME.search(name) is None


def _place(at: Mapping[str, str | int]) -> str:
    return ", ".join(f"{axis}={place}" for axis, place in at.items())


def _html_line(tag: str, cells: Iterable[str]) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(cell)}</{tag}>' for cell in cells)}</tr>"


class _Version(msgspec.Struct):
    """The one field that every schema has."""

    schema: int


def key(subject: Subject, protocol: dict[str, Scalar], machine: Machine | None) -> str:
    """Eight hex digits that name a measurement: what, how, and - for time and memory, else None - on which machine."""
    of = msgspec.to_builtins(subject)
    if subject.detector is None:  # records from before there was a choice keep their keys
        del of["detector"]
    parts = {
        "subject": of,
        "protocol": protocol,
        "machine": None if machine is None else machine.identity(),
    }
    return hashlib.sha256(msgspec.json.encode(parts, order="deterministic")).hexdigest()[:8]


def encode(record: Record, *, indent: int = 0) -> bytes:
    """Write a record as JSON: on one line, or indented for people, with a line for every value."""
    if not indent:
        return msgspec.json.encode(record)
    without = msgspec.json.encode(msgspec.structs.replace(record, values=()))
    margin = b"\n" + b" " * indent
    rows = b",".join(margin + b" " * indent + msgspec.json.encode(value) for value in record.values)
    values = b"[" + rows + margin + b"]" if rows else b"[]"
    # No text of a record has these bytes, because quotes inside a text are escaped.
    return msgspec.json.format(without, indent=indent).replace(b'"values": []', b'"values": ' + values)


def decode(text: bytes) -> Record:
    """Read a record strictly; one of schema 1 comes apart into rows as `bench.schema1` says.

    Raises ValueError that names the place of a wrong, missing or unknown field.
    """
    schema = msgspec.json.decode(text, type=_Version).schema
    if schema == 1:
        text = schema1.upgraded(text)
        schema = SCHEMA
    if schema != SCHEMA:
        raise ValueError(
            f"The record has schema {schema}; this version reads schemas 1 to {SCHEMA}. "
            "Read it with the version of the project that wrote it, or measure the cell again."
        )
    return msgspec.json.decode(text, type=Record)
