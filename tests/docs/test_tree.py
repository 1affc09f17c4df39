"""The tree in the README has every folder of the packages, and its lines lead a newcomer to what is looked for."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def tree() -> dict[str, str]:
    """What the README says of each folder, by its path: nested by indentation, two spaces a level."""
    found: dict[str, str] = {}
    above: list[str] = []
    for indent, name, text in re.findall(r"^    ((?:  )*)(\w+)/ +(\w.*)$", README, re.MULTILINE):
        above = [*above[: len(indent) // 2], name]
        path = "/".join(above)
        assert path not in found, f"{path} stands twice in the tree"
        found[path] = text
    return found


TREE = tree()


def test_every_folder_stands_in_the_tree_once() -> None:
    packages = ("sparsity", "heads", "bench", "reports")
    files = [file.relative_to(ROOT) for package in packages for file in (ROOT / package).rglob("*.py")]
    assert sorted(TREE) == sorted({str(file.parent) for file in files})


@pytest.mark.parametrize(
    ("word", "file"),
    [
        ("pasting", "bench/model/assemble.py"),
        ("caps", "bench/accuracy/protocol.py"),
        ("choice of a kernel", "sparsity/_kernels/_choose.py"),
        ("paper's numbers", "reports/paper.py"),
        ("leave out", "bench/probes/speed.py"),
        ("bootstrap", "bench/accuracy/bootstrap.py"),
        ("resume", "bench/training/checkpoint.py"),
        ("colours", "reports/figures/style.py"),
        ("axes", "bench/record.py"),
        ("photographs", "bench/data/images.py"),
    ],
)
def test_a_word_leads_to_one_folder(word: str, file: str) -> None:
    assert [f"{folder}/" for folder, text in TREE.items() if word in text] == [file.removesuffix(Path(file).name)]
    assert (ROOT / file).is_file()


def test_the_files_to_read_are_there_and_as_long_as_it_says() -> None:
    (section,) = re.findall(r"^## Six files to read\n(.*?)^## ", README, re.MULTILINE | re.DOTALL)
    files = re.findall(r"`([\w/]+\.py)`", section)
    lines = sum(len((ROOT / file).read_text().splitlines()) for file in files)
    assert len(files) == 6
    (said,) = re.findall(r"about ([\d,]+) lines", section)
    assert abs(int(said.replace(",", "")) - lines) < 100, f"they have {lines} lines"
