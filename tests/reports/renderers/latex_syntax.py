r"""The syntax of a LaTeX file, checked without LaTeX: what would stop it, and special characters that are not escaped.

It knows the part of the language that tables need, so whatever is new to it has to be added here first: a command of
the kernel to `_KERNEL`, one of a package to `_PROVIDED`. A file names its packages in comments: % \usepackage{name}.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_KERNEL: Mapping[str, bool] = {
    **dict.fromkeys(("centering", "footnotesize", "scriptsize", "par", "smallskip", "linewidth", "tabcolsep"), False),
    **dict.fromkeys(("caption", "label", "textbf", "setlength"), True),
}
"""Commands, and whether a group must follow."""

_SYMBOLS = {"textbackslash", "textasciitilde", "textasciicircum", "textless", "textgreater", "textbar"}
"""Characters by name, which swallow the space after them unless {} is between."""

_PROVIDED = {"booktabs": {"toprule", "midrule", "bottomrule"}}
_RULES = _PROVIDED["booktabs"]
_ENVIRONMENTS = {"table*", "tabular", "minipage"}

_TOKEN = re.compile(
    r"""\\begin\{(?P<begin>\w+\*?)\}(?:\[[btc]\])?(?:\{(?P<argument>(?:[^{}]|\{[^{}]*\})*)\})?
      | \\end\{(?P<end>\w+\*?)\}
      | \\multicolumn\{(?P<span>\d+)\}\{[lcr]\}(?=\{)
      | \\label\{(?P<label>[a-z0-9:-]+)\}
      | \\(?P<command>[A-Za-z]+)
      | (?P<newline>\\\\)(?!\s*[\[*])
      | \\(?P<escaped>[{}#$%&_])
      | (?P<special>[{}&$#%^_~])
      | (?P<text>[^\\{}&$#%^_~]+)""",
    re.VERBOSE,
)


@dataclass
class _Open:
    """What has begun and must end: an environment by its name, a group as "{", math as "$".

    Of a tabular also how many columns it has, which cell of a row comes next, and whether the row has begun.
    """

    name: str
    columns: int = 0
    cells: int = 1
    begun: bool = False


def check_syntax(source: str) -> None:
    """Raise AssertionError, with the place, where LaTeX would complain or show something else than what is written."""
    packages = re.findall(r"^% \\usepackage\{(\w+)\}$", source, re.MULTILINE)
    known = {*_KERNEL, *_SYMBOLS, *(name for package in packages for name in _PROVIDED[package])}
    body = re.sub(r"^%.*\n", "", source, flags=re.MULTILINE)
    within = [_Open("file")]
    used, at = set(), 0
    while at < len(body):
        token = _TOKEN.match(body, at)
        place = f"at {body[at : at + 60]!r}, within {[each.name for each in within]}"
        assert token, f"unknown syntax, or a [ or * after a line break, {place}"
        at = token.end()
        match token.lastgroup:
            case "begin" | "argument":
                _begin(within, token["begin"], token["argument"], place)
            case "end":
                _end(within, token["end"], place)
            case "span":
                assert within[-1].columns, f"a cell outside a table {place}"
                within[-1].cells += int(token["span"]) - 1
            case "command":
                name = token["command"]
                assert name in known, f"a command that no package in the header brings {place}"
                assert not _KERNEL.get(name) or body[at] == "{", f"no argument {place}"
                assert name not in _SYMBOLS or body.startswith("{}", at), f"it swallows a space {place}"
                assert name not in _RULES or (within[-1].columns and not within[-1].begun), f"a rule in a row {place}"
                used.add(name)
            case "newline":
                _end_row(within[-1], place)
            case "special":
                _special(within, token["special"], place)
            case "text":
                assert token["text"].isascii(), f"a character that depends on fonts {place}"
                assert not set("<>|") & set(token["text"]), f"the first fonts of LaTeX lack a character {place}"
        if token.lastgroup in ("span", "escaped", "text") and token[0].strip():
            within[-1].begun = True
    assert [each.name for each in within] == ["file"], f"never ended: {[each.name for each in within]}"
    for package in packages:
        assert _PROVIDED[package] & used, f"the package {package} is not needed"


def _begin(within: list[_Open], name: str, argument: str | None, place: str) -> None:
    assert name in _ENVIRONMENTS, f"an unknown environment {place}"
    assert (argument is None) == (name == "table*"), f"a missing argument, or one too many, {place}"
    within[-1].begun = True
    columns = re.sub(r"@\{[^{}]*\}", "", argument or "") if name == "tabular" else ""
    assert set(columns) <= set("lcr"), f"an unknown column {place}"
    assert columns or name != "tabular", f"no columns {place}"
    within.append(_Open(name, columns=len(columns)))


def _end(within: list[_Open], name: str, place: str) -> None:
    ended = within.pop()
    assert ended.name == name, f"{ended.name} is still open {place}"
    assert not ended.begun or not ended.columns or ended.cells == ended.columns, f"{ended.cells} cells {place}"


def _end_row(row: _Open, place: str) -> None:
    assert row.columns or row.name == "minipage", f"there is no line to end {place}"
    assert row.cells == (row.columns or 1), f"{row.cells} cells in {row.columns} columns {place}"
    row.cells, row.begun = 1, False


def _special(within: list[_Open], character: str, place: str) -> None:
    """Groups and math open and close, & parts cells; the others must be escaped, but _ and ^ in math."""
    if character == "{":
        within[-1].begun = True
        within.append(_Open(character))
    elif character == "}":
        assert within.pop().name == "{", f"a group that ends what it did not begin {place}"
    elif character == "$" and within[-1].name == "$":
        within.pop()
    elif character == "$":
        within[-1].begun = True
        within.append(_Open(character))
    elif character == "&":
        assert within[-1].columns, f"a cell outside a table {place}"
        within[-1].cells += 1
        within[-1].begun = True
    else:
        assert character in "^_", f"a character that is not escaped {place}"
        assert within[-1].name == "$", f"a character that is not escaped {place}"
