"""LaTeX tables: syntax that LaTeX takes, whatever the cells, names, titles and sentences are."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.cells import Bounds, Number
from reports.choice import all_tables
from reports.layout import Column, Table
from reports.renderers.latex import latex
from reports.select.measured import measured
from reports.tables.of_paper import TABLES, table
from tests.reports import embedded_records
from tests.reports.renderers.latex_syntax import check_syntax
from tests.reports.tables import test_backends, test_break_even, test_kernels

NASTY = "<script>|%_&$#{}~^\\`*[x]*_a_ [red]</b>"
TEXTS = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1).filter(lambda text: bool(text.strip()))

FRAME = r"""% \usepackage{booktabs}
\begin{table*}
\caption{A}\label{tab:a}
\begin{tabular}{lr}
\toprule
A & \begin{tabular}[b]{@{}r@{}}B\\C\end{tabular} \\
\midrule
ROW
\bottomrule
\end{tabular}
\end{table*}
"""
ROW = r"\textbf{1 \%} & $-$2 \\"


def made(text: str = NASTY) -> Table:
    """A table with the text wherever there is one; `x` puts it behind a line break of a heading and of the notes."""
    return Table(
        title=text,
        columns=(Column(name=text), Column(name=f"x {text}", digits=1, best="highest"), Column(name="95%")),
        rows=(
            (text, Number(100 / 3, interval=(32.0, 34.1)), Bounds("32.0-34.1")),
            ("b", -30.0, ""),
            (text, None, None),
        ),
        caption=(f"Said of {text}.", text, "AP*, APB*: * and _ stay."),
    )


def test_the_frame_of_the_planted_errors_has_none() -> None:
    check_syntax(FRAME.replace("ROW", ROW))
    check_syntax(FRAME.replace("ROW", r"\multicolumn{2}{l}{1} \\"))


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        (r"1 & 2 & 3 \\", "3 cells in 2 columns"),
        (r"1 \\", "1 cells in 2 columns"),
        (r"\multicolumn{2}{l}{1} & 2 \\", "3 cells in 2 columns"),
        (r"1 & 2", "a rule in a row"),
        (r"1 & \textbf{2 \\", "no line to end"),
        (r"1 & 2} \\", "did not begin"),
        (r"1 & 50 % \\", "not escaped"),
        (r"1 & a_b \\", "not escaped"),
        (r"1 & $a_b \\", "no line to end"),
        (r"1 & a|b \\", "lack a character"),
        (r"1 & 2 \\ [x] & 3 \\", "after a line break"),
        (r"1 & \textcolor{red}{2} \\", "no package in the header"),
        (r"1 & \textbf 2 \\", "no argument"),
        (r"1 & \textless 2 \\", "swallows a space"),
        (r"1 & \begin{tabular}{l}2\\3 \\", "2 columns|still open|never ended"),
        (r"1 & \begin{minipage}{1cm}2\end{tabular} \\", "still open"),
        (r"1 & \begin{longtable}{l}\end{longtable} \\", "unknown environment"),
        ("1 & \N{MULTIPLICATION SIGN} \\\\", "depends on fonts"),
    ],
)
def test_planted_errors_are_found(row: str, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        check_syntax(FRAME.replace("ROW", row))


def test_a_file_names_the_packages_that_it_needs_and_no_other() -> None:
    with pytest.raises(AssertionError, match="no package in the header"):
        check_syntax(FRAME.replace("ROW", ROW).replace("% \\usepackage{booktabs}\n", ""))
    with pytest.raises(AssertionError, match="booktabs is not needed"):
        check_syntax("% \\usepackage{booktabs}\nText.\n")


def test_nasty_names() -> None:
    text = latex(made(), "tab:x")
    check_syntax(text)
    assert r"\textbf{33.3}" in text
    assert r"\label{tab:x}" in text


@given(TEXTS)
def test_whatever_is_written_is_text(text: str) -> None:
    check_syntax(latex(made(text), "tab:x"))


def test_the_tables_of_all_studies() -> None:
    records = [
        *embedded_records.demo_records(),
        test_break_even.record(),
        test_kernels.record("native"),
        test_backends.record("sps", test_backends.COST, test_backends.cost_values(can=True, sfm=90, stored=500)),
    ]
    tables = [*all_tables(measured(records)), *(table(name, []) for name in TABLES)]
    assert len(tables) > 20
    for each in tables:
        check_syntax(latex(each, "tab:x"))
        check_syntax(latex(replace(each, caption=()), "tab:x"))


@pytest.mark.parametrize(("value", "shown"), [(-1.25, "$-$1.2"), (1.25, "+1.2")])
def test_a_minus_is_a_minus(value: float, shown: str) -> None:
    column = Column(name="d", digits=1, signed=True)
    signed = Table(title="t", columns=(column,), rows=((value,),), caption=())
    assert f"{shown} \\\\" in latex(signed, "t")


def test_groups_are_set_apart() -> None:
    columns = (Column(name="Stage"), Column(name="ms", digits=1, best="lowest"))
    rows = (("1", 2.0), ("1", 1.0), ("2", 9.0), ("2", 8.0))
    grouped = Table(title="t", columns=columns, rows=rows, caption=(), among=("Stage",))
    assert grouped.best() == {(1, 1), (3, 1)}
    assert latex(grouped, "t").count(r"\midrule") == 2
