"""Records of schema 1, in which dimensions were glued into the names of values: read as records of schema 2.

There, `values`, `units` and `intervals` were three dicts of one set of names, such as `stage1_sfm_ms`. What the probes
of the project made comes apart by one table of patterns; names of other probes stay whole. No number changes.
"""

import re
from collections.abc import Iterable
from typing import Any

import msgspec

_METRIC = r"(?P<name>apb?(?:_star)?(?:50|75)?"
_STAGE = r"stage(?P<stage>\d+)_"
_SETTING = _STAGE + r"(?:(?P<place>point)|active(?P<percent>\d+))_"
_DIFFERENCE = "_difference"

_PATTERNS: dict[str, tuple[tuple[str, str], ...]] = {
    "backend_cost": (
        (r"supports_(?P<ability>.+)", "supports"),
        (_STAGE + r"(?P<operation>[a-z]+)_macs(?:_(?P<cells>active|all))?", "macs"),
        (_STAGE + r"(?P<name>bytes_(?:dense|formula|nine_rows))", ""),
        (_STAGE + r"bytes_(?P<part>\w+)", "bytes"),
        (_STAGE + r"(?P<name>\w+)", ""),
    ),
    "backend_speed": ((_STAGE + r"(?P<operation>[a-z]+)_(?P<name>ms|dense_ms|ratio)", ""),),
    "memory": ((_STAGE + r"(?P<operation>[a-z]+)_(?P<name>peak_bytes)", ""),),
    "kernels": (
        (r"roof_(?P<clock>thread|wall)_(?P<name>\w+)", "roof_{name}"),
        (_SETTING + r"(?P<passes>forward|training)_(?P<clock>thread|wall)_(?P<name>\w+)", ""),
        (_SETTING + r"(?P<name>\w+)", ""),
    ),
    "break_even": (
        (r"operation_is_(?P<operation>\w+)", "operation_is"),
        (_STAGE + r"(?P<sweep>conv_fraction|fraction|regions)_(?P<cost>time|macs|bytes)_(?P<name>crossings?)", ""),
        (_STAGE + r"(?P<sweep>conv_fraction|fraction|regions)(?P<percent>\d+)_(?P<name>\w+)", ""),
    ),
    "budget": (
        (_METRIC + r")_(?P<budget>[a-z]+)_minus_(?P<reference>[a-z]+)", "{name}" + _DIFFERENCE),
        (_METRIC + r"|cells|latency_ms)_(?P<budget>[a-z]+)", ""),
    ),
    "policies": (
        (_METRIC + r")_(?P<policy>[a-z]+)_minus_(?P<reference>[a-z]+)", "{name}" + _DIFFERENCE),
        (_METRIC + r")_(?P<policy>[a-z]+)", ""),
    ),
    "certificate": (
        (r"(?P<operation>\w+)_(?P<passes>forward|gradient)_(?P<dtype>b?float\d+)_absolute", "error_absolute"),
        (r"(?P<operation>\w+)_(?P<passes>forward|gradient)_(?P<dtype>b?float\d+)_failed", "failed"),
        (r"(?P<operation>\w+)_(?P<passes>forward|gradient)_(?P<dtype>b?float\d+)", "error"),
    ),
    "flops": (
        (r"check_(?P<ruler>torch|fvcore)_conv_matmul", "check_macs_conv_matmul"),
        (r"check_(?P<ruler>torch|fvcore)_(?P<part>[a-z]+)", "check_macs"),
    ),
    "speed": ((r"latency_ms_(?P<phase>[a-z]+)_median", "latency_ms_median"),),
    "time_budget": (
        (_STAGE + r"(?P<part>\w+)_ms", "clocked_ms"),
        (r"(?P<part>(?!clocked)\w+)_ms", "clocked_ms"),
    ),
    "trace": ((_STAGE + r"(?P<name>\w+)", ""),),
    "overfit": ((r"loss_(?P<loss>\w+)_last", "loss_last"),),
}
"""By probe: a pattern of whole names, and what the value is called ("" for its group `name`).

All other groups are axes. `percent` is the number of the axis `place`.
"""


class _Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A record of schema 1, as far as it differs: what is the same in both is taken over as it stands."""

    schema: int
    subject: msgspec.Raw
    protocol: dict[str, str | int | float | bool | None]
    machine: msgspec.Raw
    code: msgspec.Raw
    values: dict[str, int | float] = {}
    intervals: dict[str, tuple[float, float]] = {}
    units: dict[str, str] = {}
    samples: str | None = None
    files: dict[str, str] = {}
    uncounted: tuple[str, ...] = ()
    error: msgspec.Raw = msgspec.Raw(b"null")
    started: str
    seconds: float

    def __post_init__(self) -> None:
        """Raise ValueError where the three dicts contradict each other."""
        if self.values.keys() != self.units.keys():
            odd = ", ".join(sorted(self.values.keys() ^ self.units.keys()))
            raise ValueError(
                f"Values and units differ in {odd}; they must have the same names; give every value a unit."
            )
        if not self.intervals.keys() <= self.values.keys():
            odd = ", ".join(sorted(self.intervals.keys() - self.values.keys()))
            raise ValueError(f"There is no value to the interval {odd}; it must have the same name; leave it out.")


def upgraded(text: bytes) -> bytes:
    """The same record as JSON of schema 2. Raises ValueError for a file that is none of schema 1."""
    old = msgspec.json.decode(text, type=_Record)
    fields = {name: getattr(old, name) for name in _Record.__struct_fields__ if name not in ("units", "intervals")}
    return msgspec.json.encode(fields | {"schema": 2, "values": list(_rows(old))})


def split(probe: str, glued: str) -> tuple[str, dict[str, str | int]]:
    """Name and axes of a value of schema 1."""
    for pattern, called in _PATTERNS.get(probe, ()):
        match = re.fullmatch(pattern, glued)
        if match is not None:
            groups = {axis: place for axis, place in match.groupdict().items() if place is not None}
            name = groups.pop("name", "")
            at = {"place" if axis == "percent" else axis: _place(axis, place) for axis, place in groups.items()}
            return called.format(name=name) or name, at
    return glued, {}


def _place(axis: str, place: str) -> str | int:
    return int(place) if axis in ("stage", "percent") else place


def _rows(old: _Record) -> Iterable[dict[str, Any]]:
    probe = str(old.protocol.get("probe"))
    for glued, value in old.values.items():
        name, at = split(probe, glued)
        row: dict[str, Any] = {"name": name, "value": value, "unit": old.units[glued], "at": at}
        yield row | ({"interval": old.intervals[glued]} if glued in old.intervals else {})
