"""What a measurement leaves behind: subject, protocol, machine, code, values, in one JSON file with a strict schema.

Structs of msgspec rather than dataclasses: only these refuse unknown fields when they are read. This file imports
neither torch nor numpy, so that reports and the command line start fast.
"""

import hashlib
import math
import re

import msgspec

SCHEMA = 1

Scalar = str | int | float | bool | None


class Subject(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is measured. A field is None where it does not apply: only EffSeg has a backend and a module.

    `kernel` None is the backend's default. `schedule` is "none" and `weights` is "random" for untrained weights,
    which are drawn from `seed`, and "none" for a subject that has none; otherwise it is the "sha256:..." of their file.
    """

    head: str | None = None
    backend: str | None = None
    kernel: str | None = None
    module: str | None = None
    backbone: str | None = None
    preset: str | None = None
    schedule: str = "none"
    seed: int = 0
    weights: str = "random"

    @property
    def name(self) -> str:
        """Name, such as `effseg-sps-sfm-r50_fpn-paper-none-seed0`: that of its directory, if a file may have it."""
        parts = (self.head, self.backend, self.kernel, self.module, self.backbone, self.preset, self.schedule)
        return "-".join([part for part in parts if part is not None] + [f"seed{self.seed}"])


class Machine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where it was measured. `threads` are torch's; `clock_mhz` is the highest clock the processor states.

    A field is None where it could not be read, or where there is no such part. `gpu_clock_mhz` and
    `gpu_power_limit_w` need nvidia-ml-py.
    """

    cpu: str
    cores: int
    threads: int | None
    clock_mhz: float | None
    memory_bytes: int | None
    os: str
    python: str
    torch: str | None
    gpu: str | None = None
    gpu_memory_bytes: int | None = None
    gpu_clock_mhz: int | None = None
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

    commit: str | None
    dirty: bool | None


class Failure(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a cell has no values: the exception and the last frames of its traceback, innermost last."""

    type: str
    message: str
    frames: tuple[str, ...]


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One measured cell. Values are never rounded; `units` has an entry for every value ("" for a plain number).

    `protocol` says how it was measured, with at least `probe` and `version`. `intervals` are (low, high) of some
    values. `samples` is the name of the npz file beside the record, `files` maps the names of other files beside it
    to their "sha256:...". `uncounted` names operations a cost does not include. `started` is UTC in ISO 8601,
    `seconds` the time the probe took. A record with an `error` has no values.
    """

    schema: int = SCHEMA
    subject: Subject
    protocol: dict[str, Scalar]
    machine: Machine
    code: Code
    values: dict[str, int | float] = {}
    intervals: dict[str, tuple[float, float]] = {}
    units: dict[str, str] = {}
    samples: str | None = None
    files: dict[str, str] = {}
    uncounted: tuple[str, ...] = ()
    error: Failure | None = None
    started: str
    seconds: float

    def __post_init__(self) -> None:
        """Raise ValueError where a record contradicts itself; on reading, msgspec adds the place in the file."""
        if not {"probe", "version"} <= self.protocol.keys():
            found = ", ".join(self.protocol) or "nothing"
            raise ValueError(f"The protocol of a record has {found}; it must have 'probe' and 'version'; add them.")
        if self.values.keys() != self.units.keys():
            odd = ", ".join(sorted(self.values.keys() ^ self.units.keys()))
            raise ValueError(
                f"Values and units differ in {odd}; they must have the same names; give every value a unit."
            )
        if not self.intervals.keys() <= self.values.keys():
            odd = ", ".join(sorted(self.intervals.keys() - self.values.keys()))
            raise ValueError(f"There is no value to the interval {odd}; it must have the same name; leave it out.")
        infinite = [name for name, value in self.values.items() if not math.isfinite(value)]
        if infinite:
            names = ", ".join(infinite)
            raise ValueError(f"Values are not finite: {names}; all of them must be; leave out what does not exist.")
        if self.error is not None and self.values:
            odd = ", ".join(self.values)
            raise ValueError(f"A record with an error has {odd}; it must have no values; leave them out.")

    @property
    def probe(self) -> str:
        """Name of the probe that measured."""
        return str(self.protocol["probe"])


class _Version(msgspec.Struct):
    """The one field that every schema has."""

    schema: int


def key(subject: Subject, protocol: dict[str, Scalar], machine: Machine | None) -> str:
    """Eight hex digits that name a measurement: what, how, and - for time and memory, else None - on which machine."""
    parts = {
        "subject": msgspec.to_builtins(subject),
        "protocol": protocol,
        "machine": None if machine is None else machine.identity(),
    }
    return hashlib.sha256(msgspec.json.encode(parts, order="deterministic")).hexdigest()[:8]


def encode(record: Record, *, indent: int = 0) -> bytes:
    """Write a record as JSON: on one line, or indented for people."""
    line = msgspec.json.encode(record)
    return msgspec.json.format(line, indent=indent) if indent else line


def decode(text: bytes) -> Record:
    """Read a record strictly. Raises ValueError that names the place of a wrong, missing or unknown field."""
    schema = msgspec.json.decode(text, type=_Version).schema
    if schema != SCHEMA:
        raise ValueError(
            f"The record has schema {schema}; this version reads schema {SCHEMA}. "
            "Read it with the version of the project that wrote it, or measure the cell again."
        )
    return msgspec.json.decode(text, type=Record)
