"""Peak memory of a small model on the embedded images, in true boxes."""

import numpy as np
import pytest

from bench.contract import Context, Measurement
from bench.data.layout import recognise
from bench.glyphs import write
from bench.inference.image_run import open_run
from bench.model.build import load
from bench.names import MODEL_PARTS
from bench.probes import peak_memory
from bench.record import Subject
from bench.rulers.peak_memory import peak_bytes
from tests.bench.found import numbers_at, rows_at

SUBJECT = Subject(head="mask_rcnn", backbone="small_fpn", preset="small")


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    folder = tmp_path_factory.mktemp("glyphs")
    write(folder, "test", 2)
    return Context(data=recognise(folder), detections="ground_truth")


@pytest.fixture(scope="module")
def measured(context: Context) -> Measurement:
    return peak_memory.measure(SUBJECT, context)


def test_head_and_whole(context: Context, measured: Measurement) -> None:
    """The head's part is what it takes alone; the whole holds weights, image and the largest part."""
    run = open_run(SUBJECT, context)
    model = load(SUBJECT, context, run.files.category_ids)
    batches = list(run)
    output = model.detect(batches[0], run.given(batches[0]))
    alone = peak_bytes(lambda: model.masks(output), "cpu")
    assert measured.samples["peak_bytes_head"][0] == pytest.approx(alone, rel=1e-3)
    weights = sum(each.numel() * 4 for each in model.parameters())
    images = np.array([batch.images.numel() * 4 for batch in batches])
    parts = np.array([measured.samples[f"peak_bytes_{part}"] for part in MODEL_PARTS])
    assert np.all(parts > 0)
    assert np.all(measured.samples["peak_bytes_total"] >= weights + images + parts.max(axis=0))
    assert np.all(measured.samples["peak_bytes_total"] < weights + images + parts.sum(axis=0) + 1e5)


def test_values_are_of_the_samples(measured: Measurement) -> None:
    assert numbers_at(measured)["images"] == 2
    for part in (None, *MODEL_PARTS):
        found = rows_at(measured, **({} if part is None else {"part": part}))
        array = measured.samples[f"peak_bytes_{part or 'total'}"]
        assert found["peak_bytes_median"].value == np.median(array)
        assert found["peak_bytes_max"].value == array.max()
        assert found["peak_bytes_max"].unit == "bytes"


def test_the_protocol_says_whose_account_it_is(context: Context) -> None:
    protocol = peak_memory.protocol(SUBJECT, context)
    assert protocol["peak"] == "torch profiler, allocator events"
    assert (protocol["batch"], protocol["warm_up"]) == (1, 1)
