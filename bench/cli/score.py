"""`evaluate`, `compare`: accuracy of finished predictions, of anybody's model, and what separates two results."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from bench.cli.data_options import DataFolder
from bench.cli.output import COMPLETE, INCOMPLETE, json_file, json_lines, print_table, tell
from bench.cli.outputs import check_outputs, opened
from bench.record import encode

_File = Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(optional)")]
_Output = Annotated[str | None, arg(metavar="FILE", help_behavior_hint="(optional)")]


@dataclass(frozen=True, kw_only=True)
class Evaluate(DataFolder):
    """AP, boundary AP, AP* and APB* of a COCO results file, with 95 % intervals."""

    predictions: Annotated[Path, arg(metavar="FILE")]
    """Results in COCO's format (.json or .json.gz), from any framework."""
    coco_annotations: _File = None
    """COCO annotations: AP and boundary AP; without, those of the validation part of --data."""
    lvis_annotations: _File = None
    """LVIS annotations, cocofied on the fly if they are not yet: AP* and APB*; without, those of --data, if any."""
    images: _File = None
    """The images that the model was run on, a JSON list of ids (images.json beside a record); all of them without."""
    boxes: bool = False
    """AP of boxes instead of masks: the `bbox` of results, or the box around their mask."""
    class_agnostic: bool = False
    """Take all classes for one: for masks without a class, or to see what naming them costs."""
    cap: Annotated[int | None, arg(metavar="N", help_behavior_hint="(optional)")] = None
    """How many predictions count: of every image and class by COCO's rules (100 without), of every image for AP*."""
    area: Literal["mask", "box"] = "mask"
    """Whose area says how large a prediction is. Tools that keep `bbox` in results take that of the box."""
    allow_unknown: bool = False
    """Leave out and count predictions on images and of classes that no annotation file knows."""
    errors: bool = False
    """Also say where AP is lost: errors by their kind, size and class, what is taken for what, and outlines."""
    verify: bool = False
    """Have pycocotools and faster-coco-eval compute the same; differences above 1e-9 are a failure."""
    resamples: int = 1000
    """Resamples of the images that the intervals are made of; 0 for none."""
    seed: int = 0
    """Of the resamples."""
    per_class: _File = None
    """Also write a row per class to this CSV file."""
    json: _Output = None
    """Also write the record as a line of JSON to this file; - is standard output."""

    def __call__(self) -> int:
        """Score, print the table, write what was asked for."""
        from bench.accuracy.evaluate import evaluate
        from bench.accuracy.predictions import read_images
        from reports.renderers.terminal import terminal
        from reports.select.measured import measured
        from reports.tables.accuracy import accuracy
        from reports.tables.errors import confusions, errors, outlines

        coco, lvis = self.ground_truth(self.coco_annotations, self.lvis_annotations)
        outputs = {"--json": json_file(self.json), "--per-class": self.per_class}
        check_outputs(self, outputs, also=(coco, lvis))
        with json_lines(self.json) as lines:
            found = evaluate(
                self.predictions,
                coco=coco,
                lvis=lvis,
                images=None if self.images is None else read_images(self.images),
                boxes=self.boxes,
                class_agnostic=self.class_agnostic,
                cap=self.cap,
                area=self.area,
                errors=self.errors,
                verify=self.verify,
                resamples=self.resamples,
                seed=self.seed,
                allow_unknown=self.allow_unknown,
                leave_out_maskless=self.leave_out_maskless,
            )
            record = found.record()
            if lines is not None:
                lines.write(encode(record).decode() + "\n")
        if self.per_class is not None:
            with opened(self.per_class) as file:
                file.write(found.per_class_csv())
        if record.error is None:
            shown = measured([record])
            print_table(terminal(accuracy(shown)), stderr=self.json == "-")
            for table in (errors(shown), confusions(shown), outlines(shown)) if self.errors else ():
                if table.rows:
                    print_table(terminal(table), stderr=self.json == "-")
        for check in found.checks:
            mark, style = ("verified", "green") if check.passed else ("FAILED", "red")
            tell(check.sentence(), mark=mark, style=style)
            for repair in check.repairs:
                tell(f"  for the library, {repair}")
        return COMPLETE if record.error is None else INCOMPLETE


@dataclass(frozen=True, kw_only=True)
class Compare(DataFolder):
    """What separates two results on the same images: differences and ratios with 95 % intervals and p values."""

    first: Annotated[Positional[str], arg(metavar="CELL_A")]
    """A cell as `list` prints it (recipe/subject/probe), a subject (recipe/subject) for all probes that both have, or a
    results file in COCO's format."""
    second: Annotated[Positional[str], arg(metavar="CELL_B")]
    """The one that is called higher or lower."""
    coco_annotations: _File = None
    """COCO annotations, for results files; without, those of the validation part of --data."""
    lvis_annotations: _File = None
    """LVIS annotations, for results files."""
    images: _File = None
    """The images that both models were run on, a JSON list of ids, for results files; all of them without."""
    boxes: bool = False
    """AP of boxes instead of masks, of results files."""
    class_agnostic: bool = False
    """Take all classes for one: for masks without a class, or to see what naming them costs."""
    cap: Annotated[int | None, arg(metavar="N", help_behavior_hint="(optional)")] = None
    """How many predictions count: of every image and class by COCO's rules (100 without), of every image for AP*."""
    errors: bool = False
    """Also compare the errors of results files by their kind and size (by class in --json), and their outlines."""
    allow_unknown: bool = False
    """Leave out predictions on images and of classes that no annotation file knows."""
    resamples: int = 1000
    """Resamples of the images."""
    seed: int = 0
    """Of the resamples."""
    results: Path = Path("results")
    """Where cells are kept."""
    json: _Output = None
    """Also write every difference as a line of JSON to this file; - is standard output."""

    def __call__(self) -> int:
        """Print a table per probe of accuracies and one of all costs, and what could not be compared."""
        import msgspec

        from bench.accuracy.comparison import result
        from bench.accuracy.predictions import read_images
        from bench.comparison import compare
        from reports.renderers.terminal import terminal
        from reports.tables.accuracy import comparison
        from reports.tables.cost_differences import cost_differences
        from reports.tables.errors import errors_compared, outlines_compared

        coco, lvis = self.ground_truth(self.coco_annotations, self.lvis_annotations)
        check_outputs(self, {"--json": json_file(self.json)}, also=(coco, lvis))
        scored = partial(
            result,
            results=self.results,
            coco=coco,
            lvis=lvis,
            images=None if self.images is None else read_images(self.images),
            boxes=self.boxes,
            class_agnostic=self.class_agnostic,
            cap=self.cap,
            errors=self.errors,
            allow_unknown=self.allow_unknown,
            leave_out_maskless=self.leave_out_maskless,
        )
        with json_lines(self.json) as lines:
            found = compare(
                self.first,
                self.second,
                self.results,
                scored=scored,
                errors=self.errors,
                resamples=self.resamples,
                seed=self.seed,
            )
            if lines is not None:
                rows = [difference.row() for each in found for difference in each.differences]
                lines.writelines(msgspec.json.encode(row).decode() + "\n" for row in rows)
        tables = [
            comparison(each.first, each.second, [difference.row() for difference in each.accuracies])
            for each in found
            if each.accuracies
        ]
        for each in found if self.errors else ():
            lost = [difference.row() for difference in each.lost]
            tables += [table(each.first, each.second, lost) for table in (errors_compared, outlines_compared)]
        costs = [difference.row() for each in found for difference in each.costs]
        if costs:
            tables.append(cost_differences(self.first, self.second, costs))
        for table in tables:
            print_table(terminal(table), stderr=self.json == "-")
        for each in found:
            for note in each.notes:
                tell(f"{each.probe}: {note}")
        return COMPLETE
