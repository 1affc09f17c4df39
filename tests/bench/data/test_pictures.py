"""Pictures are found by the names that annotation tools give them, and never mistaken for one another."""

import json
import os
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from bench.data.annotations import ImageEntry, read_annotations
from bench.data.image_ids import number
from bench.data.layout import Part
from bench.data.pictures import Found, find_pictures

CASES = Path(os.environ.get("BENCH_TEST_DATA", Path(__file__).parents[3] / ".." / "shared")) / "cases"
Put = Callable[..., Path]


@pytest.fixture
def put(tmp_path: Path) -> Put:
    """Make picture files below a folder of their own; `content` tells two of them apart."""

    def _put(*names: str, content: int = 0) -> Path:
        for name in names:
            path = tmp_path / "set" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (4, 3), content).save(path, format="PNG")
        return tmp_path / "set"

    return _put


def entry(image_id: int | str, file_name: str = "", coco_url: str = "") -> ImageEntry:
    return ImageEntry(id=number(image_id), height=3, width=4, file_name=file_name, coco_url=coco_url)


def find(folder: Path, *images: ImageEntry, root: Path | None = None) -> Found:
    return find_pictures(Part(pictures=folder, annotations=folder / "a.json"), images, root)


def where(folder: Path, file_name: str, image_id: int | str = 7) -> str:
    """The path of the one image of that name, relative to the folder."""
    (path,) = find(folder, entry(image_id, file_name)).paths.values()
    return path.relative_to(folder).as_posix()


@pytest.mark.parametrize(
    "file_name",
    [
        "IMG_41.jpg",
        "./IMG_41.jpg",
        " IMG_41.jpg",
        "images/IMG_41.jpg",
        "images\\IMG_41.jpg",
        "C:\\data\\sets\\IMG_41.jpg",
        "/data/upload/1/IMG_41.jpg",
        "/data/upload/1/0a1b2c3d-IMG_41.jpg",
        "../../label-studio/media/IMG_41.jpg",
        "https://host:8080/bucket/IMG_41.jpg?token=1&x=2#top",
        "s3://bucket/IMG_41.jpg",
        "file:///C:/data/IMG_41.jpg",
        "/data/local-files/?d=cells/IMG_41.jpg",
        "img_41.JPG",
        "IMG_41.png",
        "IMG_41",
        "IMG%5F41.jpg",
    ],
)
def test_a_name_is_understood_whatever_machine_wrote_it(file_name: str, put: Put) -> None:
    folder = put("IMG_41.jpg", "IMG_411.jpg", "MG_41.jpg", "000000000008.jpg")
    assert where(folder, file_name) == "IMG_41.jpg"


@pytest.mark.parametrize("ending", [".jpg", ".JPEG", ".PNG", ".tif", ".bmp", ".webp", ".ppm", ".gif", ".jp2", ""])
def test_every_ending_counts_in_a_name(ending: str, put: Put) -> None:
    assert where(put("a/cell" + ending), "cell" + ending) == "a/cell" + ending


@pytest.mark.parametrize(
    "name", ["IMG 0042 (copy).jpg", "\u7ec6\u80de.jpg", "50%20off.jpg", "what?.jpg", "a#b.jpg", "C:x.jpg", "a\\b.jpg"]
)
def test_a_name_that_is_there_is_taken_as_it_is(name: str, put: Put) -> None:
    assert where(put(name, "50 off.jpg", "what", "b.jpg", "x.jpg"), name) == name


def test_names_in_an_address_are_decoded(put: Put) -> None:
    folder = put("IMG 0042 (copy).jpg", "\u7ec6\u80de.jpg")
    assert where(folder, "IMG%200042%20%28copy%29.jpg") == "IMG 0042 (copy).jpg"
    assert where(folder, "http://host/%E7%BB%86%E8%83%9E.jpg") == "\u7ec6\u80de.jpg"


def test_the_forms_of_unicode_are_one_name(put: Put) -> None:
    composed, apart = (unicodedata.normalize(form, "Zell\u00fc\u00e9.jpg") for form in ("NFC", "NFD"))
    folder = put(apart)
    assert where(folder, composed) == apart
    put(composed, content=1)  # both are there: each is itself
    assert where(folder, composed) == composed
    assert where(folder, apart) == apart


def test_case_counts_only_where_it_tells_pictures_apart(put: Put) -> None:
    folder = put("img.jpg")
    put("sub/IMG.JPG", content=1)
    assert where(folder, "x/IMG.JPG") == "sub/IMG.JPG"
    with pytest.raises(ValueError, match=r"is called Img\.jpg, as are .*img\.jpg and .*IMG\.JPG, which differ"):
        where(folder, "Img.jpg")


def test_the_path_that_shares_most_folders_is_meant(put: Put) -> None:
    folder = put("a/IMG.jpg")
    put("b/IMG.jpg", content=1)
    put("c/b/IMG.jpg", content=2)
    put("IMG.jpg", content=3)
    assert where(folder, "IMG.jpg") == "IMG.jpg"
    assert where(folder, "/home/me/a/IMG.jpg") == "a/IMG.jpg"
    assert where(folder, "b\\IMG.jpg") == "b/IMG.jpg"
    assert where(folder, "D:\\c\\b\\IMG.jpg") == "c/b/IMG.jpg"


def test_pictures_of_one_name_in_two_folders_are_an_error_unless_they_are_the_same(put: Put) -> None:
    folder = put("a/IMG.jpg", "b/IMG.jpg")
    assert where(folder, "IMG.jpg") in ("a/IMG.jpg", "b/IMG.jpg")
    put("b/IMG.jpg", content=1)
    with pytest.raises(ValueError, match=r"Image 7 is called IMG\.jpg, as are .*IMG\.jpg and .*IMG\.jpg, which differ"):
        where(folder, "IMG.jpg")
    put("c/cell.png")
    put("c/cell.tif", content=1)
    with pytest.raises(ValueError, match=r"is called cell\.jpg, as are .*cell\.png and .*cell\.tif"):
        where(folder, "cell.jpg")


def test_names_may_be_relative_to_the_folders_above_up_to_the_root(put: Put) -> None:
    root = put("images/val/a.jpg", "images/train/b.jpg", "c.jpg")
    val = root / "images" / "val"
    for name, path in (("images/val/a.jpg", "images/val/a.jpg"), ("train/b.jpg", "images/train/b.jpg")):
        assert find(val, entry(1, name), root=root).paths[1] == root / path
    assert find(val, entry(1, "/home/me/set/images/train/b.jpg"), root=root).paths[1] == root / "images/train/b.jpg"
    assert find(val, entry(1, "../../c.jpg"), root=root).paths[1] == root / "c.jpg"
    with pytest.raises(ValueError, match=r"lacks 1 of the 1"):
        find(val, entry(1, "../../c.jpg"), root=val)


def test_an_absolute_path_counts_where_the_folder_has_no_such_picture(put: Put, tmp_path: Path) -> None:
    folder = put("a.jpg")
    Image.new("L", (4, 3)).save(tmp_path / "far.png")
    assert find(folder, entry(1, str(tmp_path / "far.png"))).paths[1] == tmp_path / "far.png"


def test_without_a_name_the_address_says_the_folder(put: Put) -> None:
    root = put("val2017/000000000001.jpg", "train2017/000000000003.jpg")
    images = [
        entry(1, "", "http://images.cocodataset.org/val2017/000000000001.jpg"),
        entry(3, "", "http://images.cocodataset.org/train2017/000000000003.jpg"),
    ]
    paths = find(root / "val2017", *images).paths
    assert paths == {1: root / "val2017/000000000001.jpg", 3: root / "train2017/000000000003.jpg"}
    put("val2017/000000000003.jpg", content=1)
    with pytest.raises(ValueError, match="Two different pictures may be image 3"):
        find(root / "val2017", *images)


def test_the_id_is_the_name_where_there_is_no_other(put: Put) -> None:
    folder = put("000000000139.webp", "000000000285.jpg", "000000000285.png", "41.tif", "cell-b.png")
    paths = find(folder, entry(139, "COCO_val2014_000000000139.jpg"), entry(285), entry(41), entry("cell-b")).paths
    assert [path.name for path in paths.values()] == ["000000000139.webp", "000000000285.jpg", "41.tif", "cell-b.png"]
    assert find(folder, entry(139, "ignored")).paths[139].name == "000000000139.webp"


@pytest.mark.parametrize("name", ["IMG_77.jpg", "IMG_0042 (copy).jpg", "frame10.png"])
def test_an_id_never_overrules_the_number_in_a_name(name: str, put: Put) -> None:
    folder = put("000000000001.jpg")
    with pytest.raises(ValueError, match=r"lacks 1 of the 1 images of the run: .* such as 000000000001\.jpg"):
        where(folder, name, image_id=1)


def test_a_picture_by_name_and_another_by_id_are_an_error(put: Put) -> None:
    folder = put("000000000000.png", "000000000001.png", "sub/x.png")
    assert where(folder, "000000000000.png", image_id=1) == "000000000000.png"  # both are the same picture
    put("000000000001.png", content=1)
    with pytest.raises(ValueError, match=r"image 1: .*000000000000\.png by its name, .*000000000001\.png by its id"):
        where(folder, "000000000000.png", image_id=1)
    with pytest.raises(ValueError, match=r"sub/x\.png by its name, .*000000000001\.png by its id"):
        where(folder, "sub/x.png", image_id=1)


def test_a_mask_beside_a_picture_is_no_contradiction(put: Put) -> None:
    folder = put("000000000001.jpg")
    put("000000000001.png", content=1)
    assert where(folder, "000000000001.jpg", image_id=1) == "000000000001.jpg"


def test_missing_pictures_are_counted_and_what_is_there_is_shown(put: Put) -> None:
    folder = put("a.jpg", "sub/b.jpg", "c.jpg", "notes.txt")
    images = [entry(1, "a.jpg"), *(entry(number_, f"IMG_{number_}.jpg") for number_ in range(2, 7))]
    message = (
        r"lacks 5 of the 6 images of the run: IMG_2\.jpg, IMG_3\.jpg, IMG_4\.jpg, \.\.\.; "
        r"it holds 2 that no image of the run is, such as c\.jpg and sub/b\.jpg; expected every"
    )
    with pytest.raises(ValueError, match=message):
        find(folder, *images)


def test_images_that_share_a_picture_are_found(put: Put) -> None:
    found = find(put("a.jpg", "b.jpg"), entry(1, "a.jpg"), entry(2, "A.JPG"), entry(3, "b.jpg"))
    (finding,) = found.findings
    assert (finding.name, finding.count, finding.examples) == ("shared_pictures", 1, ("image 2: a.jpg",))


def test_what_is_not_a_picture_is_never_taken_for_one(put: Put, tmp_path: Path) -> None:
    folder = put("._IMG.jpg", ".hidden/IMG.jpg", "sub/.DS_Store", "IMG.txt", "__MACOSX/._IMG.jpg")
    os.mkfifo(folder / "IMG.png")
    (folder / "IMG.tif").mkdir()
    (folder / "IMG.gif").symlink_to(folder / "nowhere.gif")
    (folder / "IMG.bmp").symlink_to(folder / "IMG.bmp")
    for name in ("IMG.jpg", "IMG.png", "IMG.tif", "IMG.gif", "IMG.bmp", "/", "a\0b.jpg", "x" * 5000 + "/y.jpg"):
        with pytest.raises(ValueError, match="lacks 1 of the 1"):
            where(folder, name)


def test_links_are_followed_and_loops_end(put: Put, tmp_path: Path) -> None:
    folder = put("a/b/IMG.jpg")
    (folder / "a" / "b" / "up").symlink_to(folder)
    (folder / "a" / "self").symlink_to(folder / "a" / "self")
    Image.new("L", (4, 3)).save(tmp_path / "far.png")
    (folder / "near.png").symlink_to(tmp_path / "far.png")
    assert where(folder, "x/IMG.jpg") == "a/b/IMG.jpg"
    assert where(folder, "near.png") == "near.png"


def test_a_folder_that_cannot_be_listed_is_named(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = put("a.jpg", "closed/b.jpg")
    scandir = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(ValueError, match=r"lacks 1 of the 1 .*the folder .*closed cannot be listed"):
        find(folder, entry(1, "b.jpg"))
    (finding,) = find(folder, entry(1, "x/a.jpg")).findings
    assert finding.name == "closed_folders"
    for absent in (folder / "closed", folder / "nowhere", folder / "a.jpg"):
        with pytest.raises(ValueError, match=r"cannot be listed: .*; expected the pictures of a data set"):
            find(absent, entry(1, "b.jpg"))


def test_names_that_are_there_need_no_other_folder(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = put("a.jpg", "deep/b.jpg")
    scandir, listed = os.scandir, []
    monkeypatch.setattr(os, "scandir", lambda path: (listed.append(path), scandir(path))[1])
    find(folder, *(entry(number_, "a.jpg") for number_ in range(20)))
    assert listed == [str(folder)]


def shipped(case: str, tmp_path: Path) -> Path:
    """A copy of a case that may be changed."""
    if not (CASES / case).is_dir():
        pytest.skip(f"no case: {CASES / case} is not there; set BENCH_TEST_DATA to the folder that holds cases/")
    shutil.copytree(CASES / case, tmp_path / case, copy_function=shutil.copyfile)
    return tmp_path / case


def found_in(folder: Path, annotations: Path) -> list[str]:
    found = find_pictures(Part(pictures=folder, annotations=annotations), read_annotations(annotations).images)
    return [path.relative_to(folder.parent).as_posix() for path in found.paths.values()]


@pytest.mark.parametrize(
    ("case", "folder", "annotations", "expected"),
    [
        ("set_cvat", "images/default", "annotations/instances_default.json", "default/frame_{:06d}.PNG"),
        ("set_roboflow", "train", "train/_annotations.coco.json", "train/IMG_{0}_jpg.rf.0a1b2c{0}.jpg"),
        ("set_exif3", "val2017", "annotations/instances_val2017.json", "val2017/{:012d}.png"),
        ("set_all_crowd", "train2017", "annotations/instances_train2017.json", "train2017/{:012d}.jpg"),
    ],
)
def test_every_layout_has_its_pictures(case: str, folder: str, annotations: str, expected: str, tmp_path: Path) -> None:
    root = shipped(case, tmp_path)
    assert found_in(root / folder, root / annotations) == [expected.format(image_id) for image_id in (1, 2, 3)]


def test_the_case_of_lvis_v1(tmp_path: Path) -> None:
    root = shipped("set_lvis1", tmp_path)
    paths = found_in(root / "val2017", root / "lvis_v1_val.json")
    assert paths == ["val2017/000000000001.jpg", "val2017/000000000002.jpg", "train2017/000000000003.jpg"]


def test_the_case_of_shifted_names_and_its_twin(tmp_path: Path) -> None:
    root = shipped("set_shifted", tmp_path)
    annotations = root / "annotations" / "instances_train2017.json"
    with pytest.raises(ValueError, match=r"may be image 1: .*0000\.png by its name, .*0001\.png by"):
        found_in(root / "train2017", annotations)
    (root / "train2017").rename(root / "other")
    shutil.copytree(root / "other", root / "train2017", ignore=shutil.ignore_patterns("*02.png", "*04.png"))
    content = json.loads(annotations.read_text())
    content["images"] = [{**image, "id": int(image["file_name"][:-4])} for image in content["images"]]
    annotations.write_text(json.dumps(content))
    assert found_in(root / "train2017", annotations) == [f"train2017/{image_id:012d}.png" for image_id in (0, 1, 3)]


def test_the_case_of_own_names_and_its_twin(tmp_path: Path) -> None:
    root = shipped("set_own_names", tmp_path)
    annotations = root / "annotations" / "instances_val2017.json"
    with pytest.raises(
        ValueError, match=r"lacks 3 of the 3 .*it holds 3 that no image of the run is, such as IMG 0042"
    ):
        found_in(root / "val2017", annotations)
    content = json.loads(annotations.read_text())
    names = ["IMG_0041.jpg", "IMG 0042 (copy).jpg", "\u7ec6\u80de.jpg"]
    content["images"] = [{**image, "file_name": name} for image, name in zip(content["images"], names, strict=True)]
    annotations.write_text(json.dumps(content))
    assert found_in(root / "val2017", annotations) == [f"val2017/{name}" for name in names]
