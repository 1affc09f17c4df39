"""Text in any encoding is read, checksums aside; a file that is no JSON, or another one, is told in words."""

import codecs
import gzip
import json
from pathlib import Path

import msgspec
import pytest

from bench import json_file

DECODER = msgspec.json.Decoder(list[dict[str, int]])
TEXT = '[{"gr\u00f6\u00dfe": 1}]'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
def test_every_encoding_of_json_is_read(encoding: str) -> None:
    content = TEXT.encode(encoding)
    for each in (content, gzip.compress(content, mtime=0)):
        assert json_file.text(each, "a.json") == TEXT.encode()
        assert json_file.decode(each, "a.json", DECODER, "result") == json.loads(TEXT)
    for bom in (codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE):
        wide = "utf-16-be" if bom == codecs.BOM_UTF16_BE else "utf-32-be"
        assert json_file.text(bom + TEXT.encode(wide), "a.json") == TEXT.encode()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (TEXT.encode("utf-16")[:-1], "a.json is damaged UTF-16: .*; expected complete text; write it again as UTF-8"),
        (TEXT.encode("latin-1"), "a.json is not UTF-8: .* byte 0xf6 .*; expected JSON in UTF-8; write it in that"),
        (TEXT.encode()[:-1], "a.json is not complete JSON: .*; expected one JSON document; write or download the file"),
        (
            b'[{"a": 1},]',
            "a.json is not JSON: .*trailing comma.*; expected one JSON document; correct it at that place",
        ),
        (b'{"a": 1}\n{"a": 2}\n', r"a.json holds 2 JSON documents, one on every line \(JSON Lines\); expected one"),
        (b"", "a.json is empty; expected JSON; write or download it again"),
        (
            gzip.compress(b"PK\x03\x04", mtime=0),
            "a.json is a zip archive that is cut off; expected JSON; download or copy it",
        ),
        (b'[{"a": NaN}]', r"a.json: result 0 \(image unknown\) has nan as its a, which is not JSON; expected finite"),
        (b'[{"a": "1"}]', r"a.json: result 0 \(image unknown\) does not fit the format: Expected `int`"),
        (b'{"images": [], "annotations": []}', r"a.json \(an annotation file\?\) does not fit the format"),
        (b'{"a": []}', "a.json does not fit the format"),
    ],
)
def test_other_files_are_told(content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        json_file.decode(content, "a.json", DECODER, "result")


def test_gzip_is_unpacked_no_further_than_json_would_be(monkeypatch: pytest.MonkeyPatch) -> None:
    trap = gzip.compress(b" " * 10_000_000, mtime=0)  # in one piece of a test's memory
    assert len(json_file.text(trap, "a.json.gz")) == 10_000_000
    monkeypatch.setattr(json_file, "_ALWAYS", 1_000_000)
    with pytest.raises(ValueError, match=r"a.json.gz unpacks to more than 1,000,000 bytes from 9,\d+; expected JSON"):
        json_file.text(trap, "a.json.gz")


def test_what_an_annotation_file_may_be_is_told_of_lists_of_results_alone() -> None:
    decoder = msgspec.json.Decoder(dict[str, list[int]])
    for content, is_told in (
        (b'[{"image_id": 1, "score": 0.5}]', True),
        (b'[{"id": 1}]', False),
        (b'{"annotations": {"1": {}}}', False),
        (b'{"images": [], "annotations": {"1": {}}}', False),
    ):
        with pytest.raises(ValueError, match="does not fit") as error:
            json_file.decode(content, "a.json", decoder, "annotation")
        assert ("(a results file?)" in str(error.value)) == is_told
        assert "(an annotation file?)" not in str(error.value)


def test_a_directory_names_the_files_in_it(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"is a directory; expected a JSON file .*; give the file that is meant"):
        json_file.read(tmp_path)
    (tmp_path / "gt.json").touch()
    with pytest.raises(ValueError, match=r"give gt\.json in it"):
        json_file.read(tmp_path)
