"""What is printed: as it is, whatever it is called."""

import pytest
from rich.table import Table

from bench.cli.output import print_table, tell


@pytest.mark.parametrize("name", ["[red]", "[/]", "a[bold]b", ":smile:", "a:b:c", "\\[x]"])
def test_names_are_printed_as_they_are(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The console library would take them for markup, for emoji, or for an error in its markup."""
    tell(f"Written: {name}", mark=f"{name}:")
    table = Table("file", title=name)
    table.add_row(name)
    print_table(table)
    out, err = capsys.readouterr()
    assert err == f"{name}: Written: {name}\n"
    assert out.count(name) == 2
