"""An annotation file is read once while it is the same, few are kept, and what a reader misses is named."""

import gzip
import hashlib
import json
from collections import Counter
from pathlib import Path

import pytest

from bench import json_file
from bench.data import annotations
from bench.data.annotations import AnnotationFile, read_annotations
from tests.own_process import run_alone


def content(*image_ids: int) -> bytes:
    images = [{"id": image_id, "height": 20, "width": 30} for image_id in image_ids]
    return json.dumps({"images": images, "annotations": [], "categories": []}).encode()


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are read, one after the other; none is kept from before."""
    monkeypatch.setattr(annotations, "_kept", {})
    names, read = [], json_file.read

    def noted(path: Path) -> bytes:
        names.append(path.name)
        return read(path)

    monkeypatch.setattr(json_file, "read", noted)
    return names


def test_a_file_is_read_again_only_if_it_has_changed(reads: list[str], tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content(1))
    first = read_annotations(path)
    assert [read_annotations(path) is first for _ in range(3)] == [True] * 3
    assert first.checksum == f"sha256:{hashlib.sha256(content(1)).hexdigest()}"
    assert reads == ["a.json"]
    path.write_bytes(content(1, 2))
    assert [image.id for image in read_annotations(path).images] == [1, 2]
    assert [image.id for image in first.images] == [1]
    assert reads == ["a.json"] * 2
    path.unlink()
    with pytest.raises(ValueError, match="cannot be read: No such file"):
        read_annotations(path)


def test_the_same_name_in_another_folder_is_another_file(
    reads: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place, name in enumerate(("one", "two")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.json").write_bytes(content(place))
    found = []
    for name in ("one", "two"):
        monkeypatch.chdir(tmp_path / name)
        found.append(read_annotations(Path("a.json")).images[0].id)
    assert found == [0, 1]


def test_two_files_are_kept(reads: list[str], tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.json" for name in "abc"]
    for place, path in enumerate(paths):
        path.write_bytes(content(place))
    for _ in range(3):
        for path in paths[:2]:
            read_annotations(path)
    assert reads == ["a.json", "b.json"]
    read_annotations(paths[2], keep=False)
    read_annotations(paths[1], keep=False)
    read_annotations(paths[0])
    assert reads == ["a.json", "b.json", "c.json"]
    read_annotations(paths[2])
    read_annotations(paths[1])
    assert len(annotations._kept) == 2
    assert reads == ["a.json", "b.json", "c.json", "c.json"]


@pytest.mark.parametrize("damaged", [b"not JSON", b"[]", gzip.compress(content(1), mtime=0)[:-9]])
def test_a_damaged_file_has_a_checksum_and_no_entries(damaged: bytes, tmp_path: Path) -> None:
    path = tmp_path / "odd.json"
    path.write_bytes(damaged)
    file = read_annotations(path)
    assert file.checksum == f"sha256:{hashlib.sha256(damaged).hexdigest()}"
    for _ in range(2):
        with pytest.raises(ValueError, match=r"odd\.json"):
            file.images  # noqa: B018


def test_gzip_is_decoded_and_has_its_own_checksum() -> None:
    zipped = gzip.compress(content(4))
    file = AnnotationFile(name="a.json.gz", content=zipped)
    assert [image.id for image in file.images] == [4]
    assert file.checksum == f"sha256:{hashlib.sha256(zipped).hexdigest()}"


def test_what_a_reader_requires_is_named_where_it_is_missing() -> None:
    images = [{"id": 8, "height": 20, "width": 30, "neg_category_ids": [3]}, {"id": 9, "height": 20, "width": 30}]
    objects = [
        {"id": 0, "image_id": 9, "category_id": 3, "segmentation": [], "bbox": [0, 0, 1, 1]},
        {"id": 1, "image_id": 9, "category_id": 3, "segmentation": []},
    ]
    text = json.dumps({"images": images, "annotations": objects}).encode()
    file = AnnotationFile(name="a.json", content=text)
    file.require(lists=("images", "annotations"), of_annotations=("id",))
    assert file.categories == ()
    with pytest.raises(
        ValueError, match=r"a\.json does not fit the format: Object missing required field `categories`;"
    ):
        file.require(lists=("annotations", "categories"))
    with pytest.raises(ValueError, match=r"missing required field `neg_category_ids` - at `\$.images\[1\]`; expected"):
        file.require(of_images=("neg_category_ids",))
    with pytest.raises(ValueError, match=r"1 \(image 9\) .* field `bbox` - at `\$.annotations\[1\]`; repair"):
        file.require(of_annotations=("id", "bbox"))


def test_a_run_opens_every_annotation_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    done = run_alone(f"""
        import json
        import sys

        opened = []
        sys.addaudithook(lambda event, details: opened.append(str(details[0])) if event == "open" else None)

        from bench import cli
        from bench.planning import own_data

        own_data.NUM_IMAGES = 2
        command = ["run", "demo", "--heads", "mask_rcnn", "--probes", "accuracy_true_boxes", "--images", "2"]
        code = cli.main([*command, "--results", {str(tmp_path / "results")!r}])
        print(json.dumps([code, [path for path in opened if "annotations/" in path and path.endswith(".json")]]))
    """)
    code, paths = json.loads(done.stdout.splitlines()[-1])
    assert code == 0, done.stderr
    assert len(list((tmp_path / "results").rglob("accuracy_true_boxes-????????.json"))) == 4
    assert Counter(Path(path).name for path in paths) == {"instances_val2017.json": 1, "glyphs_fine_val.json": 1}
