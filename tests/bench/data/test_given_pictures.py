"""Pictures that a user names."""

import os
from pathlib import Path

import pytest
from PIL import Image

from bench.data.given_pictures import GivenPicture, named_pictures, numbers


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 3)).save(path, "PNG")
    return path


def names(*named: Path | str, without: Path | None = None) -> list[str]:
    return [each.name for each in named_pictures([str(each) for each in named], without=without).pictures]


def test_a_folder_is_searched_to_the_bottom_for_pictures(tmp_path: Path) -> None:
    for name in ("b.jpg", "a.PNG", "sub/deep er/\u00fc.tif", "sub/c.webp", ".hidden.png", ".git/d.png"):
        picture(tmp_path / name)
    for name in ("notes.txt", "labels.json", "film.mpg", "table.h5"):
        (tmp_path / name).write_text("")
    assert names(tmp_path) == ["a.PNG", "b.jpg", "sub/c.webp", "sub/deep er/\u00fc.tif"]


def test_loops_of_links_end(tmp_path: Path) -> None:
    picture(tmp_path / "in" / "a" / "x.png")
    for place in ("in/a/up", "in/up", "in/a/up2"):
        (tmp_path / place).symlink_to(tmp_path / "in", target_is_directory=True)
    (tmp_path / "in" / "self.png").symlink_to("self.png")
    assert names(tmp_path / "in") == ["self.png", "a/x.png"]
    assert names(f"{tmp_path}/in/**/*.png") == ["a/x.png", "self.png"]


def test_links_lead_to_pictures(tmp_path: Path) -> None:
    picture(tmp_path / "store" / "x.png")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "linked").symlink_to(tmp_path / "store", target_is_directory=True)
    (tmp_path / "in" / "y.png").symlink_to(tmp_path / "store" / "x.png")
    assert names(tmp_path / "in") == ["y.png", "linked/x.png"]


def test_the_folder_of_results_is_left_out_unless_it_is_named(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    picture(tmp_path / "predictions" / "a.png")
    out = tmp_path / "predictions"
    assert names(tmp_path, without=out) == ["a.png"]
    assert names(f"{tmp_path}/**/*.png", without=out) == ["a.png"]
    assert names(out, without=out) == ["a.png"]


def test_a_file_is_taken_whatever_its_ending_and_brackets_are_no_pattern_where_there_is_one(tmp_path: Path) -> None:
    picture(tmp_path / "scan.dat")
    picture(tmp_path / "photo [1].png")
    assert names(tmp_path / "scan.dat", tmp_path / "photo [1].png") == ["scan.dat", "photo [1].png"]


def test_patterns(tmp_path: Path) -> None:
    for name in ("a1.png", "a2.png", "b1.png", "sub/a3.png"):
        picture(tmp_path / name)
    (tmp_path / "a4.txt").write_text("")
    assert names(f"{tmp_path}/a*") == ["a1.png", "a2.png"]
    assert names(f"{tmp_path}/**/a*") == ["a1.png", "a2.png", "sub/a3.png"]
    assert names(f"{tmp_path}/s*") == ["sub/a3.png"]
    assert names(f"{tmp_path}/?1.png") == ["a1.png", "b1.png"]


def test_a_picture_counts_once_and_equal_names_are_told_apart(tmp_path: Path) -> None:
    one, other = picture(tmp_path / "one" / "x.png"), picture(tmp_path / "other" / "x.png")
    assert names(one, one.parent, f"{one.parent}/*.png") == ["x.png"]
    assert names(one, other) == ["one/x.png", "other/x.png"]


def test_nothing_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for named, said in (
        ((), "No picture was named"),
        ((tmp_path / "empty",), "has no pictures"),
        ((tmp_path / "nowhere.png",), "There is no file or folder"),
        ((f"{tmp_path}/*.png",), "matches 0 files"),
        ((f"{tmp_path}/nowhere/*.png",), "matches 0 files"),
        ((f"{tmp_path}/e*",), "matches 1 files and folders, and no picture"),
    ):
        with pytest.raises(ValueError, match=said.replace("*", r"\*")):
            names(*named)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_folders_without_permission_are_told(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    assert "closed" in named_pictures([str(tmp_path)]).unreadable[0]
    with pytest.raises(ValueError, match="has no pictures"):
        names(closed)
    closed.chmod(0o755)


def test_ids_are_those_that_annotations_know() -> None:
    files = ["000000000139.jpg", "street.png", "7.jpg", "0012.png", "a/x.png", "b/x.png", "a/8.png", "000000000008.png"]
    assert numbers([GivenPicture(path=Path(name), name=name) for name in files]) == [
        139,
        "street",
        7,
        "0012",
        "a/x.png",
        "b/x.png",
        "a/8.png",
        "000000000008.png",
    ]
