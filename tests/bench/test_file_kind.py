"""Files that are no JSON are called by what they are."""

import io
import lzma
import pickle
import tarfile
import zipfile

import numpy as np
import pytest
import torch

from bench.file_kind import kind


def zipped(*names: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name), "{}")  # without a time: tests are named after these bytes
    return content.getvalue()


def tarred(name: str) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        archive.addfile(tarfile.TarInfo(name))
    return content.getvalue()


def saved(save: object) -> bytes:
    content = io.BytesIO()
    assert callable(save)
    save(content)
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "what", "remedy"),
    [
        (b"", "empty", "write or download"),
        (b" \n", "empty", "write or download"),
        (zipped("a/instances.json", "b.txt"), "a zip archive with a/instances.json inside", "unpack"),
        (zipped("a.json", "b.json"), "a zip archive with 2 JSON files inside, such as a.json", "unpack"),
        (zipped("a.xml"), "a zip archive without a JSON file inside", "unpack"),
        (zipped("a.json")[:40], "a zip archive that is cut off", "download"),
        (tarred("gt.json"), "a tar archive with gt.json inside", "unpack"),
        (b"7z\xbc\xaf\x27\x1c\x00\x04", "a 7z archive", "unpack"),
        (lzma.compress(b"[]"), "compressed by xz", "unpack"),
        (b"BZh91AY", "compressed by bzip2", "unpack"),
        (b"\x28\xb5\x2f\xfd\x04", "compressed by zstd", "unpack"),
        (pickle.dumps([1]), "a pickle of Python", "write it again with Python's json"),
        (saved(lambda file: np.save(file, np.zeros(2))), "an array of numpy (npy)", "write it again"),
        (saved(lambda file: np.savez(file, a=np.zeros(2))), "arrays of numpy (npz)", "write it again"),
        (saved(lambda file: torch.save({"a": 1}, file)), "a file of PyTorch (torch.save)", "write it again"),
        (b"\xff\xd8\xff\xe0", "a picture (JPEG)", "give the JSON file"),
        (b"<!DOCTYPE html>\n<html>", "an HTML page, such as a page of login", "download the file itself"),
        (b'<?xml version="1.0"?><annotation>', "XML, as Pascal VOC and CVAT", "export"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "a Git LFS pointer", "call git lfs pull"),
        (b"0 0.5 0.5 0.25 0.125\n1 0.1 0.2 0.3 0.4\n", "text of numbers, as YOLO's", "export"),
        (b"0 0.5 0.5 0.25 0.1 0.2 0.3\n", "text of numbers, as YOLO's", "export"),
        (b"image_id,category_id,score\n1,2,0.5\n", "a table (CSV)", "export"),
        (b"image_id\tcategory_id\tscore\n", "a table (TSV)", "export"),
        (b"path: data\ntrain: images/train\n", "YAML", "export"),
        (b"- a\n- b\n", "YAML", "export"),
        (b"{'images': [1]}", "the text of a Python object", "write it again"),
        (b"[{'image_id': 1}]", "the text of a Python object", "write it again"),
    ],
)
def test_kinds_are_known(content: bytes, what: str, remedy: str) -> None:
    found = kind(content)
    assert found is not None
    assert found.what.startswith(what)
    assert found.remedy.startswith(remedy)


@pytest.mark.parametrize("content", [b'{"images": [', b"[1, 2", b'{"a": NaN}', b"nonsense", b"\xff\x00\x12"])
def test_json_and_the_unknown_are_no_kind(content: bytes) -> None:
    assert kind(content) is None
