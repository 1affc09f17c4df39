"""Models from subjects: the paper's parameters, names that do not exist, weights that do not fit."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from bench.contract import Context
from bench.model.build import _announce, build, load
from bench.probes import params
from bench.record import Subject
from heads.effseg import EffSeg
from sparsity import backend
from tests.bench.found import numbers_at

DETECTOR = 34_601_022
HEADS = {"mask_rcnn": 2_906_192, "point_rend": 3_191_968, "refine_mask": 6_580_590, "effseg": 4_208_872}
TOTALS_R50_FPN = {"mask_rcnn": 37.507, "point_rend": 37.793, "refine_mask": 41.182, "effseg": 38.810}
TOTALS_R50_DEFENC = {"mask_rcnn": 45.020, "point_rend": 45.306, "refine_mask": 48.694, "effseg": 46.323}
TRAINABLE_FQDETV2 = {
    "mask_rcnn": 40_524_174,
    "point_rend": 40_809_950,
    "refine_mask": 44_198_572,
    "effseg": 41_826_854,
}
MODULES = {"mlp": 38.359, "conv": 38.531, "deform_conv": 38.535, "sfm": 38.810, "dense_sfm": 38.810}


def count(**names: str) -> dict[str, int | float]:
    effseg = {"backend": "sps", "module": "sfm"} if names["head"] == "effseg" else {}
    subject = Subject(**{"backbone": "r50_fpn", "preset": "paper", **effseg, **names})
    return numbers_at(params.measure(subject, Context()))


@pytest.mark.parametrize("head", HEADS)
def test_parameters_of_table_3_and_4(head: str) -> None:
    values = count(head=head)
    assert values["params_head"] == HEADS[head]
    assert values["params_trainable"] == DETECTOR + HEADS[head]
    assert values["params_total"] == values["params_trainable"] + 222_400
    assert round(values["params_trainable"] / 1e6, 3) == TOTALS_R50_FPN[head]
    assert round(count(head=head, backbone="r50_defenc")["params_trainable"] / 1e6, 3) == TOTALS_R50_DEFENC[head]


@pytest.mark.parametrize("head", HEADS)
def test_parameters_with_the_second_detector(head: str) -> None:
    values = count(head=head, detector="fqdetv2")
    assert values["params_head"] == HEADS[head]
    assert values["params_trainable"] == TRAINABLE_FQDETV2[head]


@pytest.mark.parametrize("module", MODULES)
def test_parameters_of_table_5(module: str) -> None:
    assert round(count(head="effseg", module=module)["params_trainable"] / 1e6, 3) == MODULES[module]


def small(head: str = "mask_rcnn") -> Subject:
    return Subject(head=head, backbone="small_fpn", preset="small")


@pytest.mark.parametrize(
    ("subject", "message"),
    [
        (Subject(head="efseg"), "Did you mean 'effseg'"),
        (Subject(head="effseg", backbone="r50_fnp"), "Did you mean 'r50_fpn'"),
        (Subject(head="effseg", detector="fqdetv3"), "Did you mean 'fqdetv2'"),
        (Subject(head="effseg", module="smf"), "processing module named 'smf'"),
        (Subject(head="effseg", backend="spss"), "Did you mean 'sps'"),
        (Subject(head="effseg", backend="sps", kernel="refrence"), "Did you mean 'reference'"),
        (Subject(head="effseg", backend="dense", kernel="reference"), "'dense' has no kernels"),
        (Subject(head="effseg", kernel="reference"), "has the kernel reference and no backend"),
        (Subject(head="mask_rcnn", module="sfm"), "has no module"),
        (Subject(head="mask_rcnn", preset="tiny"), "preset named 'tiny'"),
        (Subject(head="mask_rcnn", preset="small_dynamic"), "preset named 'small_dynamic'"),
        (Subject(head="mask_rcnn", detector="torchvison"), "Did you mean 'torchvision'"),
        (Subject(head="mask_rcnn", detector="torchvision"), "was given the backbone r50_fpn.* expected r50_tvfpn;"),
        (Subject(head="mask_rcnn", backbone="r50_tvfpn"), "expected r50_defenc or r50_fpn or small_fpn;"),
    ],
)
def test_unknown_names_are_refused_with_the_closest(subject: Subject, message: str) -> None:
    with torch.device("meta"), pytest.raises(ValueError, match=message):
        build(subject)


def test_the_kernel_of_a_subject_is_that_of_its_head() -> None:
    with torch.device("meta"):
        model = build(Subject(head="effseg", backbone="small_fpn", preset="small", backend="sps", kernel="reference"))
    assert isinstance(model.head, EffSeg)
    assert model.head.grid == backend("sps:reference")


@pytest.mark.parametrize(("backbone", "detector"), [("r50_fpn", "fqdet"), ("r50_tvfpn", "torchvision_v2")])
def test_maps_of_padded_images_are_not_stretched(backbone: str, detector: str) -> None:
    with torch.device("meta"):
        model = build(Subject(head="effseg", backbone=backbone, detector=detector, preset="paper"))
        maps = model.backbone(torch.zeros(1, 3, 130, 200))
    assert isinstance(model.head, EffSeg)
    assert model.head.stretch_maps is (backbone == "r50_fpn")
    assert maps[2].shape[2:] == ((33, 50) if model.head.stretch_maps else (160 / 4, 224 / 4))


def save(model: torch.nn.Module, path: Path) -> None:
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, path)


def test_weights_make_the_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    trained = build(small())
    torch.nn.init.ones_(trained.detector.class_head[-1].bias)
    save(trained, path)
    loaded = load(small(), Context(weights=path))
    assert not loaded.training
    for name, value in trained.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value)


def test_a_run_says_how_masks_are_finished(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save(build(small()), path)
    assert load(small(), Context(weights=path)).finishing == "exact"
    assert load(small(), Context(weights=path, finishing="dilated")).finishing == "dilated"


def test_the_encoder_of_the_paper_has_the_positions_of_its_source() -> None:
    with torch.device("meta"):
        paper, little = (
            build(Subject(head="mask_rcnn", backbone="r50_defenc", preset=preset)) for preset in ("paper", "small")
        )
    assert paper.neck.source_positions is True
    assert little.neck.source_positions is False


def test_weights_of_another_architecture_are_refused_by_key(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save(build(small("mask_rcnn")), path)
    with pytest.raises(ValueError, match=r"another model: \d+ missing: head\.") as error:
        load(small("refine_mask"), Context(weights=path))
    assert "unexpected: head.coarse" in str(error.value)


def test_weights_of_another_size_are_refused_by_shape(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save(build(small(), num_classes=20), path)
    with pytest.raises(ValueError, match=r"of another shape: .*\(21, 64\) instead of \(81, 64\)"):
        load(small(), Context(weights=path))


def test_a_file_that_holds_no_weights_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"a pickle, perhaps")
    with pytest.raises(ValueError, match="cannot be read as weights"):
        load(small(), Context(weights=path))


def test_random_weights_are_announced(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.model.build.imagenet_weights", lambda: None)
    _announce.cache_clear()
    for _ in range(2):
        load(Subject(head="mask_rcnn", backbone="r50_fpn", preset="paper"), Context())
    assert caplog.text.count("everything is random") == 1


def test_a_head_may_have_presets_of_its_own_on_the_detector_of_the_size_they_begin_with() -> None:
    with torch.device("meta"):
        small, dynamic = (
            build(Subject(head="query_dot", backbone="small_fpn", preset=preset))
            for preset in ("small", "small_dynamic")
        )
    assert [weight.shape for weight in small.detector.parameters()] == [
        weight.shape for weight in dynamic.detector.parameters()
    ]
    assert sum(weight.numel() for weight in dynamic.head.parameters()) == 56_945
