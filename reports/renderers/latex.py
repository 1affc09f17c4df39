r"""Tables as LaTeX with the rules of the package booktabs, to \input into a paper."""

import re

from reports.layout import Column, Table

_ESCAPED = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "#": r"\#",
    "$": r"\$",
    "%": r"\%",
    "&": r"\&",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    # The font encoding that LaTeX starts with has other characters in the places of these.
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
}
_SPECIAL = re.compile("|".join(map(re.escape, _ESCAPED)))


def latex(table: Table, label: str) -> str:
    r"""The table as a `table*` float to \input; `label` is what \ref finds it by. Best numbers are bold.

    The sentences below it are notes, not the caption, which a list of tables would repeat. Needs the package booktabs.
    """
    best = table.best()
    rows = table.texts()
    lines = [
        r"\begin{table*}",
        r"\centering\footnotesize\setlength{\tabcolsep}{3pt}",
        rf"\caption{{{escaped(table.title)}}}\label{{{label}}}",
        rf"\begin{{tabular}}{{{''.join('l' if column.digits is None else 'r' for column in table.columns)}}}",
        r"\toprule",
        _row([_heading(column) for column in table.columns]),
    ]
    for group in table.groups():
        lines.append(r"\midrule")
        lines += [_row([_cell(text, bold=(row, at) in best) for at, text in enumerate(rows[row])]) for row in group]
    lines += [r"\bottomrule", r"\end{tabular}"]
    if table.caption:
        notes = r"\\".join(f"\n{_protected(escaped(sentence))}" for sentence in table.caption)
        lines += [r"\par\smallskip", rf"\begin{{minipage}}{{\linewidth}}\scriptsize{notes}", r"\end{minipage}"]
    return "\n".join([r"% \usepackage{booktabs}", *lines, r"\end{table*}", ""])


def escaped(text: str) -> str:
    """The text as LaTeX that shows it, on one line."""
    return _SPECIAL.sub(lambda found: _ESCAPED[found[0]], " ".join(text.splitlines()))


def _heading(column: Column) -> str:
    """The name of a column, a word a line as in a terminal."""
    words = [_protected(escaped(word)) for word in column.name.split()]
    if len(words) == 1:
        return words[0]
    side, stacked = "l" if column.digits is None else "r", r"\\".join(words)
    return rf"\begin{{tabular}}[b]{{@{{}}{side}@{{}}}}{stacked}\end{{tabular}}"


def _cell(text: str, *, bold: bool) -> str:
    # A hyphen is too short for a minus.
    shown = re.sub(r"(?<![\w.)])-(?=\d)", "$-$", escaped(text))
    return rf"\textbf{{{shown}}}" if bold else shown


def _row(cells: list[str]) -> str:
    return rf"{_protected(' & '.join(cells))} \\"


def _protected(line: str) -> str:
    r"""After the \\ of the line before, a bracket would be an argument and a star a part of the command."""
    return f"{{}}{line}" if line.lstrip().startswith(("[", "*")) else line
