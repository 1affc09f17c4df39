"""Made-up stores for the tests of figures and page."""

import io
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path

import msgspec
import numpy as np
from PIL import Image

from bench.record import Code, Failure, Machine, Record, Scalar, Subject, key
from bench.store import Entry, Store
from tests.reports.invented import rows

MACHINE = Machine(cpu="Fast CPU", cores=2, threads=1, clock_mhz=None, memory_bytes=2**33, os="o", python="3", torch="2")
DATA: Mapping[str, Scalar] = {"images": "all", "annotations": "sha256:a", "lvis": "sha256:b"}


def subject(head: str = "effseg", *, seed: int = 0, weights: str = "sha256:w", module: str | None = None) -> Subject:
    return Subject(
        head=head, module=module, backbone="small_fpn", preset="small", schedule="glyphs", seed=seed, weights=weights
    )


def add(
    store: Store,
    of: Subject,
    probe: str,
    values: Mapping[str, float],
    *,
    intervals: Mapping[str, tuple[float, float]] | None = None,
    files: Mapping[str, bytes] | None = None,
    samples: Mapping[str, np.ndarray] | None = None,
    protocol: Mapping[str, Scalar] = DATA,
    error: Failure | None = None,
    second: int = 0,
) -> Entry:
    """A record in the store, as a run leaves it."""
    record = Record(
        subject=of,
        protocol={"probe": probe, "version": 1, **protocol},
        machine=MACHINE,
        code=Code(commit="c0ffee", dirty=False),
        values=rows(probe, values, intervals=intervals),
        error=error,
        started=f"2026-01-01T00:00:{second:02}.000000+00:00",
        seconds=1.0,
    )
    return store.add("demo", key(of, record.protocol, None), record, samples, files)


def add_pictures(
    store: Store,
    of: Subject,
    boundary_ious: Mapping[int, float],
    *,
    shown: Collection[int] | None = None,
    second: int = 0,
) -> Entry:
    """A record of the probe `pictures`: rings whose masks are full discs, `shown` (all) with image and truth."""
    rows, columns = np.mgrid[:40, :50]
    radius = np.hypot(rows - 20, columns - 25)
    pixels = {
        "truth": ((radius < 18) & (radius > 8)).astype(np.uint8) * 255,
        "image": np.stack([rows * 6, columns * 5, rows * 0], axis=2).astype(np.uint8),
    }
    listed = boundary_ious.keys() if shown is None else shown
    files = {f"object{row}-{what}.png": _png(each) for row in listed for what, each in pixels.items()}
    notes = [{"row": row, "image_id": row + 7, "category": f"<ring> {row}"} for row in listed]
    packed = zlib.compress(np.packbits(radius < 18).tobytes())
    samples = {
        "rows": np.array(list(boundary_ious)),
        "boundary_ious": np.array(list(boundary_ious.values())),
        "windows": np.array([[3, 2, 53, 42]] * len(boundary_ious)),
        "masks": np.frombuffer(packed * len(boundary_ious), np.uint8),
        "mask_ends": np.arange(1, len(boundary_ious) + 1) * len(packed),
    }
    files["objects.json"] = msgspec.json.encode(notes)
    return add(store, of, "pictures", {"objects": len(boundary_ious)}, files=files, samples=samples, second=second)


def _png(pixels: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def training(path: Path, of: Subject, *, detector: str | None = "sha256:d", **curve: list[float]) -> None:
    """A training record, as training leaves it beside its weights, with a field that a report does not know."""
    content = {
        "schema": 1,
        "task": {"subject": of, "category_ids": [1], "data": "glyphs 1 train", "detector": detector},
        "command": "python run_bench.py train glyphs --heads <b>",
        "machine": MACHINE,
        "code": {"commit": "c0ffee", "dirty": True},
        "seconds": 120.0,
        "weights": "sha256:w",
        "steps": [10 * (place + 1) for place in range(len(next(iter(curve.values()), [])))],
        "curve": curve,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.encode(content))
