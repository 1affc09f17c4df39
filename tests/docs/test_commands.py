"""The command line reads every command that the documentation and the help show, and every link leads somewhere."""

import re
import shlex
from pathlib import Path

import pytest

from bench import cli
from bench.cli.examples import EXAMPLES, epilogue

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG")),
    *sorted((ROOT / "docs").glob("*.md")),
]


def commands(page: Path) -> list[str]:
    """What follows `run_bench.py` in indented lines, without comments; `...` stands for what is left to the reader."""
    text = page.read_text().replace("\\\n", " ")
    found = re.findall(r"^    [^#\n]*?run_bench\.py ([a-z][^#\n]*)", text, re.MULTILINE)
    return [re.split("[;&|]", command.replace("...", ""))[0] for command in found]


SHOWN = [(page.name, command) for page in PAGES for command in commands(page)]


def test_there_are_commands() -> None:
    assert len(SHOWN) > 20


@pytest.mark.parametrize(("page", "command"), SHOWN, ids=str)
def test_commands_of_the_documentation_are_read(page: str, command: str) -> None:
    cli.parse(shlex.split(command))


@pytest.mark.parametrize("verb", EXAMPLES)
def test_examples_of_the_help_are_read(verb: str) -> None:
    for example in EXAMPLES[verb]:
        arguments = shlex.split(example, comments=True)
        assert arguments[0] == verb
        assert type(cli.parse(arguments)).__name__.lower() == verb
        assert f"  run_bench.py {example}" in epilogue([verb, "--help"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
        assert target.startswith("https://") or (page.parent / target).exists(), target
