"""torchvision's Mask R-CNN: what torchvision itself finds is what our model finds with its weights under our names."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.detection import (
    MaskRCNN,
    fasterrcnn_resnet50_fpn,
    keypointrcnn_resnet50_fpn,
    maskrcnn_resnet50_fpn,
    maskrcnn_resnet50_fpn_v2,
)
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.ops import FrozenBatchNorm2d

from bench.contract import Context
from bench.data.coco import COCO_CATEGORY_IDS
from bench.detector import torchvision as first
from bench.detector import torchvision_v2 as second
from bench.foreign import torchvision as source
from bench.foreign.importing import read
from bench.foreign.torchvision import convert
from bench.model.build import load
from bench.model.segmenter import Segmenter
from bench.record import Subject
from heads import compose

SIZE = (120, 150)
"""Not divisible by 32: torchvision pads to 128 x 160."""
FEW = 16
"""Proposals and detections, so that a comparison takes a second."""
KEPT = 8


def fewer() -> dict[str, Any]:
    return {"rpn_pre_nms_top_n_test": FEW, "rpn_post_nms_top_n_test": FEW, "box_detections_per_img": 3 * KEPT}


def first_version() -> MaskRCNN:
    """As torchvision builds it for its COCO weights: frozen normalisation without an epsilon."""
    model = MaskRCNN(resnet_fpn_backbone(backbone_name="resnet50", weights=None), 91, **fewer())
    for module in model.modules():
        if isinstance(module, FrozenBatchNorm2d):
            module.eps = 0.0
    return model


def second_version() -> MaskRCNN:
    return maskrcnn_resnet50_fpn_v2(weights=None, weights_backbone=None, **fewer())


def make_varied(model: nn.Module) -> None:
    """Give a model numbers with which each of its parts matters."""
    generator = torch.Generator().manual_seed(0)

    def draw(like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=generator)

    for name, tensor in model.state_dict().items():
        if name.endswith("running_var") or (tensor.ndim == 1 and name.endswith("weight")):
            tensor.copy_(0.3 + draw(tensor).abs() / 2)
        elif name.endswith(("running_mean", "bias")):
            tensor.copy_(draw(tensor) / 10)
        elif "rpn.head" in name:
            tensor.copy_(draw(tensor) / (1000 if "bbox" in name else 40))


@torch.inference_mode()
def theirs(model: MaskRCNN, image: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The pyramid, and detections with masks before they are pasted, of an image that is resized and normalised."""
    padded = nn.functional.pad(image, (0, 10, 0, 8))
    pyramid = model.backbone(padded)
    proposals, _ = model.rpn(ImageList(padded, [SIZE]), pyramid)
    _spread_classes(model.roi_heads, model.roi_heads.box_roi_pool(pyramid, proposals, [SIZE]))
    (found,), _ = model.roi_heads(pyramid, proposals, [SIZE])
    return pyramid, found


def _spread_classes(roi_heads: RoIHeads, regions: Tensor) -> None:
    """Let the class logits of some regions be about zero, so that not all of them show the same class."""
    features = roi_heads.box_head(regions)
    weight = torch.randn(91, features.shape[1], generator=torch.Generator().manual_seed(1)).to(features)
    weight *= 2 / (features - features.mean(0)).norm(dim=1).mean()
    roi_heads.box_predictor.cls_score.weight.copy_(weight)
    roi_heads.box_predictor.cls_score.bias.copy_(-weight @ features.mean(0))


@pytest.fixture(scope="module")
def image() -> Tensor:
    generator = torch.Generator().manual_seed(2)
    coarse = torch.randn(1, 3, 15, 20, generator=generator)
    return nn.functional.interpolate(coarse, SIZE, mode="bilinear").double()


def ours(model: nn.Module) -> Segmenter:
    """Our model with the weights of theirs, and with as few proposals and detections."""
    converted = convert(model.state_dict(), "It")
    found = converted.model
    kind = {"torchvision": first, "torchvision_v2": second}[str(converted.subject.detector)]
    config = replace(kind.PRESETS["paper"], num_proposals=FEW, num_detections=KEPT)
    detector = kind.build(config, 256, 80).double()
    detector.load_state_dict(found.get_submodule("detector").state_dict())
    found.detector = detector
    return found.eval()


@pytest.mark.parametrize("make", [first_version, second_version], ids=["first", "second"])
def test_boxes_classes_scores_and_masks_are_those_of_torchvision(make: Callable[[], MaskRCNN], image: Tensor) -> None:
    torch.manual_seed(0)
    original = make().double().eval()  # so that rounding decides nothing
    make_varied(original)
    pyramid, expected = theirs(original, image)
    model = ours(original)
    with torch.inference_mode():
        maps = model.neck(model.backbone(image))
        for level, wanted in enumerate(pyramid.values(), start=2):
            torch.testing.assert_close(maps[level], wanted)
        found = model.detector.detections(model.detector(maps, SIZE))
        masks = compose(model.head(maps, model.regions(found))).sigmoid()
    # torchvision also gives ids that no category of COCO has; trained weights never do.
    of_category = torch.isin(expected["labels"], torch.tensor(COCO_CATEGORY_IDS)).nonzero()[:KEPT, 0]
    assert len(of_category) == KEPT == len(found.boxes)
    labels = torch.tensor(COCO_CATEGORY_IDS)[found.labels]
    assert len(labels.unique()) > 4
    assert labels.equal(expected["labels"][of_category])
    torch.testing.assert_close(found.boxes, expected["boxes"][of_category], rtol=0, atol=1e-7)
    torch.testing.assert_close(found.scores, expected["scores"][of_category], rtol=0, atol=1e-9)
    torch.testing.assert_close(masks, expected["masks"][of_category, 0], rtol=0, atol=1e-9)
    assert masks.std() > 0.05, "masks without contrast prove nothing"


@pytest.mark.parametrize("is_frozen", [True, False], ids=["frozen", "not frozen"])
def test_normalisation_has_the_epsilon_that_it_had(is_frozen: bool) -> None:
    original = (first_version() if is_frozen else maskrcnn_resnet50_fpn(weights=None, weights_backbone=None)).eval()
    norm = original.backbone.body.layer1[0].bn2
    norm.running_var.fill_(1e-5)  # as small as the epsilon
    features = torch.randn(1, 64, 4, 4, generator=torch.Generator().manual_seed(4))
    layer = convert(original.state_dict(), "It").model.get_submodule("backbone.layer1.0.bn2").eval()
    expected = features / (1e-5 if is_frozen else 2e-5) ** 0.5
    torch.testing.assert_close(norm(features), expected)
    torch.testing.assert_close(layer(features), expected)


def test_sides_that_32_does_not_divide_are_padded_as_by_torchvision() -> None:
    model = first_version().eval()
    picture = torch.rand(3, 70, 90, generator=torch.Generator().manual_seed(3))
    model.transform.min_size, model.transform.max_size = (70,), 90
    images, _ = model.transform([picture])
    mean, deviation = torch.tensor([model.transform.image_mean, model.transform.image_std])[:, :, None, None]
    found = convert(model.state_dict(), "It").model
    with torch.no_grad():
        expected = model.backbone(images.tensors)
        maps = found.neck(found.backbone(((picture - mean) / deviation)[None]))
    for level, wanted in enumerate(expected.values(), start=2):
        torch.testing.assert_close(maps[level], wanted, rtol=1e-3, atol=1e-3)


def former(name: str) -> str:
    """The names of the first file, which torchvision still reads."""
    name = re.sub(r"(_blocks\.\d)\.0\.", r"\1.", name)
    name = name.replace("rpn.head.conv.0.0.", "rpn.head.conv.")
    return re.sub(r"mask_head\.(\d)\.0\.", lambda found: f"mask_head.mask_fcn{int(found[1]) + 1}.", name)


def test_the_names_of_the_first_file_are_known() -> None:
    model = first_version()
    tensors = {former(name): tensor for name, tensor in model.state_dict().items()}
    assert {"rpn.head.conv.weight", "roi_heads.mask_head.mask_fcn4.bias"} <= tensors.keys()
    loaded = first_version()
    loaded.load_state_dict(dict(tensors))  # torchvision takes them too
    found, expected = (convert(each, "It").model.state_dict() for each in (tensors, model.state_dict()))
    assert all(found[name].equal(expected[name]) for name in expected)


def test_a_file_becomes_weights_that_are_read_again(tmp_path: Path) -> None:
    path = tmp_path / "maskrcnn_resnet50_fpn_v2_coco-73cbd019.pth"
    torch.manual_seed(0)
    torch.save(second_version().state_dict(), path)
    found = read(path, source)
    weights, is_new = found.write(tmp_path / "weights", "torchvision")
    assert is_new
    assert weights.name == "torchvision_mask-r50_tvfpn-torchvision_v2-paper-published-seed0.safetensors"
    published = found.converted.published
    assert published is not None
    assert (published.box_ap, published.mask_ap) == (47.4, 41.8)
    subject = Subject(
        head="torchvision_mask", backbone="r50_tvfpn", detector="torchvision_v2", preset="paper", schedule="published"
    )
    model = load(subject, Context(weights=tmp_path / "weights"), COCO_CATEGORY_IDS)
    expected = found.converted.model.state_dict()
    assert all(tensor.equal(expected[name]) for name, tensor in model.state_dict().items())


def without(name: str) -> dict[str, Tensor]:
    return {key: tensor for key, tensor in first_version().state_dict().items() if key != name}


def with_tensor(name: str, size: int) -> dict[str, Tensor]:
    return first_version().state_dict() | {name: torch.zeros(size)}


def on(backbone: str) -> dict[str, Tensor]:
    return MaskRCNN(resnet_fpn_backbone(backbone_name=backbone, weights=None), 91).state_dict()


RANDOM: dict[str, Any] = {"weights": None, "weights_backbone": None}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (lambda: keypointrcnn_resnet50_fpn(**RANDOM).state_dict(), "Keypoint R-CNN"),
        (lambda: fasterrcnn_resnet50_fpn(**RANDOM).state_dict(), "without masks"),
        (lambda: {"layer4.2.conv1.weight": torch.zeros(1)}, "a ResNet without a detector"),
        (lambda: maskrcnn_resnet50_fpn(**RANDOM, num_classes=21).state_dict(), "has 21 class logits"),
        (lambda: on("resnet18"), "on another backbone"),
        (lambda: on("resnet101"), "on another backbone"),
        (lambda: without("rpn.head.cls_logits.bias"), "1 missing: rpn.head.cls_logits.bias;"),
        (lambda: with_tensor("more", 1), "1 unknown: more;"),
        (
            lambda: with_tensor("rpn.head.cls_logits.bias", 4),
            "1 of another shape: rpn.head.cls_logits.bias, which becomes 4 instead of 3;",
        ),
        (
            lambda: with_tensor("roi_heads.box_predictor.bbox_pred.bias", 7),
            "1 of another shape: roi_heads.box_predictor.bbox_pred.bias;",
        ),
    ],
    ids=["keypoints", "boxes", "resnet", "classes", "resnet18", "resnet101", "missing", "unknown", "shape", "rows"],
)
def test_other_models_are_refused_by_name(given: Callable[[], dict[str, Tensor]], said: str) -> None:
    with torch.device("meta"), pytest.raises(ValueError, match=f"^It .*{re.escape(said)}"):
        convert(given(), "It")
