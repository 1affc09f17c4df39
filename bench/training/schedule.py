"""Schedules: what `train` can make, each a model, its data and the recipes of its detector and its heads."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import msgspec

from bench.data.annotations import read_annotations
from bench.data.augment import PAPER_TEST, SMALL_TEST, Transform
from bench.data.coco import CocoImages, open_images
from bench.data.coco_mini import training_annotations
from bench.data.findings import Finding
from bench.data.layout import DataSet, Part
from bench.data.samples import CocoDataset
from bench.glyphs import GlyphDataset
from bench.model.weights_folder import DETECTOR, file
from bench.planning.own_data import SHIPPED
from bench.planning.recipes import HEADS
from bench.record import Subject
from bench.training.choices import Choices, Facts, choose
from bench.training.given_detector import GivenDetector, given_detector
from bench.training.joint import joint_name
from bench.training.order import TrainingData
from bench.training.recipe import Recipe, frozen, own_detector, own_head, paper, small, small_head, small_tuned
from bench.training.start import Start, of_file, start_of

NUM_GLYPH_IMAGES = 18_000
"""As many as the detector is shown, so that it sees none twice."""


@dataclass(frozen=True, kw_only=True)
class DataSource:
    """Images to train on.

    Label `i` is category `category_ids[i]`; `content` says which images these are, in words that are equal only for
    equal data. `data` makes the data set, from what augments the images and the seed of its draws. `category_names`
    are those of the labels, where they are known. `findings` say what of the annotations and files was repaired or left
    out. `choices` are made from the data, for the schedules that choose.
    """

    num_images: int
    category_ids: tuple[int, ...]
    content: str
    data: Callable[[Transform, int], TrainingData]
    category_names: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    choices: Choices | None = None


RecipeFor = Callable[[DataSource], Recipe]
"""Makes the recipe for the images of a source."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How the weights that a subject's `schedule` names come to be.

    `detector` is the recipe of a detector that all heads share and that stays as it is; None trains every head with a
    detector of its own. It learns together with `detector_heads`, because a pyramid that learns boxes alone becomes
    worse for masks. `source` opens the data, from a data set where it
    needs one. Recipes depend on the data. `half` keeps the final weights in 16 bits.

    With `given`, a detector that is there serves all heads, which learn side by side: it has no recipe, and
    `detector_name` is the subject's.

    `start` says from which weights detector and heads start, as far as they fit; without any, a ResNet-50 starts from
    ImageNet's weights and everything else from random ones.
    """

    name: str
    backbone: str
    preset: str
    source: Callable[[DataSet | None], DataSource]
    detector: RecipeFor | None
    head: RecipeFor
    detector_heads: tuple[str, ...] = HEADS
    half: bool = False
    start: Start = field(default_factory=Start)
    given: GivenDetector | None = None
    detector_name: str | None = None

    def subject(self, head: str, *, module: str | None = None, preset: str | None = None, seed: int = 0) -> Subject:
        """The subject that a head trained by this schedule is."""
        is_effseg = head == "effseg"
        return Subject(
            head=head,
            backend="sps" if is_effseg else None,
            module=(module or "sfm") if is_effseg else None,
            backbone=self.backbone,
            detector=self.detector_name,
            preset=preset or self.preset,
            schedule=self.name,
            seed=seed,
        )

    @property
    def detector_subject(self) -> Subject:
        """The subject whose training gives the common detector: all heads at once, or none; it suits none best."""
        return msgspec.structs.replace(self.subject(HEADS[0]), head=joint_name(self.detector_heads) or None)

    def on(self, backbone: str) -> "Schedule":
        """The same with another backbone, for which the initial weights are none."""
        return replace(self, backbone=backbone, start=self.start if backbone == self.backbone else Start())


def glyphs(data: DataSet | None) -> DataSource:
    """The embedded training images, made as they are needed; another data set is not."""

    def images(transform: Transform, seed: int) -> GlyphDataset:
        return GlyphDataset(split="train", num_images=NUM_GLYPH_IMAGES, transform=transform, seed=seed)

    plain = images(SMALL_TEST, 0)
    return DataSource(num_images=len(plain), category_ids=plain.category_ids, content=plain.content, data=images)


def train2017(data: DataSet | None) -> DataSource:
    """The training images of a data set, also those without objects. Raises ValueError without one."""
    given = _given(data)
    return _source("train2017", given.train, _open(given.train, given))


def coco_mini(data: DataSet | None) -> DataSource:
    """The 495 images of `train2017` that the project has listed, by id. Raises ValueError where there are fewer."""
    given = _given(data)
    listed = replace(given.train, annotations=training_annotations(given.train.annotations))
    return _source("coco_mini", listed, _open(listed, given))


def own(data: DataSet | None, *, views: int | None = None, input_size: int | None = None) -> DataSource:
    """The training images of somebody's own data set, with the choices that are made from them.

    Raises ValueError without a data set, and as `bench.training.choices.choose`.
    """
    given = _given(data)
    files = _open(given.train, given)
    choices = choose(Facts.of(files), views=views, input_size=input_size)
    return replace(_source("own", given.train, files), choices=choices)


def _given(data: DataSet | None) -> DataSet:
    if data is None:
        raise ValueError(
            "There are no images to train on. They are those of the training part of a data set. Give its folder: "
            "run_bench.py train SCHEDULE --data DIR, or with --coco DIR for COCO's own layout."
        )
    return data


def _open(part: Part, of: DataSet) -> CocoImages:
    """Open training images of a data set. Raises ValueError where there is nothing on them to learn from."""
    files = open_images(part, parts=(of.train, of.val))
    if not any(files.annotations.values()):
        found = f" (found: {'; '.join(each.sentence() for each in files.findings)})" if files.findings else ""
        raise ValueError(
            f"{part.annotations} has no object to learn from on its {len(files.ids)} images{found}. Training needs "
            "at least one object with a pixel that is no crowd. Give other annotations, or annotate some objects."
        )
    return files


def _source(name: str, part: Part, files: CocoImages) -> DataSource:
    return DataSource(
        num_images=len(files.ids),
        category_ids=files.category_ids,
        content=f"{name} {read_annotations(part.annotations).checksum}",
        data=lambda transform, seed: CocoDataset(files=files, transform=transform, seed=seed),
        category_names=files.category_names,
        findings=files.findings,
    )


def _chosen(source: DataSource) -> Choices:
    assert source.choices is not None, "a schedule that chooses was given data that were not looked at"
    return source.choices


def own_schedule(*, views: int | None = None, input_size: int | None = None, start: Path | None = None) -> Schedule:
    """The schedule of somebody's own data: how much it shows and at which size may be said instead of chosen.

    `start` is a file or a folder of weights to start from in the place of the shipped ones. Raises ValueError where it
    has none.
    """
    return Schedule(
        name="own",
        backbone="small_fpn",
        preset="small",
        source=partial(own, views=views, input_size=input_size),
        detector=lambda source: own_detector(_chosen(source)),
        head=lambda source: own_head(_chosen(source)),
        detector_heads=HEADS[:1],
        start=start_of(SHIPPED if start is None else start),
    )


def heads_on_frozen(weights: Path, epochs: int = 1) -> Schedule:
    """The schedule of heads on the detector of a file or folder of weights, which stays as it is.

    Raises ValueError as `bench.training.given_detector.given_detector`, and for inputs of another size than usual.
    """
    given = given_detector(weights)
    of = given.task.subject
    preset = of.preset or "paper"
    usual = PAPER_TEST if preset == "paper" else SMALL_TEST
    if given.task.input_size not in (None, (usual.short, usual.long)):
        raise ValueError(
            f"The detector of {given.path} is for inputs of {given.task.input_size}. Expected the size of its preset, "
            f"{usual.short} x {usual.long}, which the training images have. Give other weights, or train heads by the "
            "schedule own."
        )
    return Schedule(
        name=f"frozen_{epochs}ep",
        backbone=of.backbone or "r50_fpn",
        preset=preset,
        source=train2017,
        detector=None,
        head=lambda source: frozen(source.num_images, epochs, preset),
        given=given,
        detector_name=of.detector,
    )


def _paper(epochs: int) -> Schedule:
    return Schedule(
        name=f"{epochs}ep",
        backbone="r50_fpn",
        preset="paper",
        source=train2017,
        detector=None,
        head=lambda source: paper(source.num_images, epochs),
    )


def _glyphs(name: str, num_views: int) -> Schedule:
    """The embedded benchmark; heads trained on another number of views share its detector."""
    return Schedule(
        name=name,
        backbone="small_fpn",
        preset="small",
        source=glyphs,
        detector=lambda source: small(source.num_images),
        head=lambda _: small_head(num_views=num_views),
        half=True,
    )


SCHEDULES: dict[str, Schedule] = {
    "12ep": _paper(12),
    "24ep": _paper(24),
    "glyphs": _glyphs("glyphs", 6_000),
    "glyphs_1500": _glyphs("glyphs_1500", 1_500),
    "glyphs_3000": _glyphs("glyphs_3000", 3_000),
    "coco_mini": Schedule(
        name="coco_mini",
        backbone="small_fpn",
        preset="small",
        source=coco_mini,
        detector=lambda _: small_tuned(),
        head=lambda _: small_head(num_views=3_000),
        start=of_file(file(SHIPPED, DETECTOR)),
    ),
    "own": own_schedule(),
}
