"""Data sets in other formats than COCO's: which one it is, and what turns it into COCO's."""

import re
from pathlib import Path

from bench.data.folders import Folder, head, open_folder

_TOOLS = {
    "YOLO": "export it again as COCO (Roboflow: Download Dataset, COCO Segmentation; CVAT: Export, COCO 1.0; Label "
    "Studio: Export, COCO), or convert it: datum convert -i {root} -if yolo -f coco_instances -o OUT -- --save-media",
    "Pascal VOC": "export it again as COCO (CVAT: Export, COCO 1.0; Roboflow: Download Dataset, COCO Segmentation), or "
    "convert it: datum convert -i {root} -if voc -f coco_instances -o OUT -- --save-media",
    "labelme": "convert it: pip install labelme2coco, then labelme2coco {root}",
    "Supervisely": "export it with Supervisely's app Export to COCO",
    "CVAT XML": "export it again from CVAT: Export task dataset, COCO 1.0, with Save images",
    "Label Studio JSON": "export it again from Label Studio: Export, COCO",
    "VIA": "export it again from VIA: Annotation, Export Annotations (COCO format)",
    "results": "give the folder of the annotations that they are about, and the results to `evaluate`",
    "mask pictures": "convert them to polygons or run lengths, one object an annotation, such as with "
    "pycocotools.mask.encode",
    "TFRecord": "export it again as COCO from the tool that made it",
}
_WHAT = {
    "YOLO": "the YOLO format ({clue}): a text file a picture, without its size",
    "Pascal VOC": "Pascal VOC's format ({clue}): an XML file a picture",
    "labelme": "labelme's format ({clue}): a JSON file a picture",
    "Supervisely": "Supervisely's own format ({clue}): a JSON file a picture",
    "CVAT XML": "CVAT's own XML format ({clue})",
    "Label Studio JSON": "Label Studio's own JSON format ({clue})",
    "VIA": "the format of the VGG Image Annotator ({clue})",
    "results": "a results file ({clue}), which has what a model found, not what is there",
    "mask pictures": "masks as pictures ({clue})",
    "TFRecord": "the TFRecord format ({clue})",
}


_MOST_OPENED = 20


def explain(root: Path) -> str:
    """Which other format a folder seems to have and what to do about it, or nothing."""
    found = _format(open_folder(root), levels=3)
    if found is None:
        return ""
    name, clue = found
    what, remedy = _WHAT[name].format(clue=clue.relative_to(root)), _TOOLS[name].format(root=root)
    return f"{root} has {what}; expected COCO's format, one JSON file about many pictures; {remedy}."


def _format(folder: Folder, levels: int) -> tuple[str, Path] | None:
    """The format of a folder with the file that shows it, looking into sub-folders where it does not show."""
    here = _of_files(folder)
    if here is not None or levels == 1:
        return here
    for below in folder.folders:
        try:
            found = _format(Folder(below), levels - 1)
        except ValueError:  # not to be read: another may tell
            continue
        if found is not None and found[0] != "results":
            return found
    masks = [
        path for path in folder.folders if re.fullmatch(r"(gt_?)?(masks?|labels?|segmentations?)", path.name.lower())
    ]
    return ("mask pictures", masks[0]) if masks and Folder(masks[0]).has_pictures else None


def _of_files(folder: Folder) -> tuple[str, Path] | None:
    for name in folder.files:
        path, ending = folder.path / name, name.rpartition(".")[2].lower()
        if ending in ("yaml", "yml") and re.search(r"^\s*names\s*:", head(path), re.MULTILINE):
            return "YOLO", path
        if ending in ("tfrecord", "tfrecords", "record"):
            return "TFRecord", path
    texts = [name for name in folder.files if name.lower().endswith((".xml", ".txt"))]
    for path in (folder.path / name for name in texts[:_MOST_OPENED]):
        text = head(path)
        if "<annotations>" in text:
            return "CVAT XML", path
        if "<annotation" in text:
            return "Pascal VOC", path
        if re.match(r"\d+( -?[\d.eE+-]+){4,} *\r?$", text, re.MULTILINE):
            return "YOLO", path
    return next((found for path in folder.json_files[:_MOST_OPENED] if (found := _of_json(path)) is not None), None)


def _of_json(path: Path) -> tuple[str, Path] | None:
    text = head(path).lstrip()
    if text.startswith("["):
        if '"segmentation"' in text and '"score"' in text:
            return "results", path
        return ("Label Studio JSON", path) if '"annotations"' in text or '"completions"' in text else None
    if '"shapes"' in text and '"imagePath"' in text:
        return "labelme", path
    if '"classTitle"' in text or ('"classes"' in text and path.name == "meta.json"):
        return "Supervisely", path
    return ("VIA", path) if '"_via_' in text or '"shape_attributes"' in text else None
