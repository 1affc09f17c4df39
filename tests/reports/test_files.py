"""The files of a report."""

from pathlib import Path

from reports.figures import Figure
from reports.files import write_figures, write_tables
from reports.layout import Column, Table


def test_every_table_has_its_files(tmp_path: Path) -> None:
    tables = [
        Table(title=title, columns=(Column(name="A", digits=0),), rows=((1.0,),), caption=())
        for title in ("Table 3: <heads>/..", "Table 3: heads", "|")
    ]
    written = write_tables(tables, tmp_path / "report")
    assert [path.relative_to(tmp_path / "report").as_posix() for path in written] == [
        "tables.md",
        *(f"tables/{name}.{kind}" for name in ("table-3-heads", "table-3-heads-2", "table") for kind in ("tex", "csv")),
    ]
    assert all(path.stat().st_size for path in written)
    assert b"\\label{tab:table-3-heads-2}" in written[3].read_bytes()
    assert written[2].read_bytes() == b"A\r\n1.0\r\n"


def test_figures_are_files_for_print(tmp_path: Path) -> None:
    (path,) = write_figures([Figure(name="f", title="F", svg="<svg/>", pdf=b"%PDF-", caption=())], tmp_path)
    assert path == tmp_path / "figures" / "f.pdf"
    assert path.read_bytes() == b"%PDF-"
