"""A table of everything that was measured, for recipes that the paper has no table for: values by subject."""

import pandas as pd

from reports.layout import Column, Table
from reports.select.frame import labels, number


def values(title: str, frame: pd.DataFrame) -> Table:
    """One row per value, one column per subject, named by what tells the subjects apart; the newest value counts.

    The accuracy of random weights means nothing and is left out.
    """
    is_accuracy = frame["name"].str.match(r"a[pr](b|\d|_|$)")
    known = frame[~(is_accuracy & (frame["weights"] == "random"))]
    names = labels(known)
    newest = known.assign(subject=names).drop_duplicates(["probe", "name", "subject"], keep="last")
    columns = list(dict.fromkeys(names))
    rows = []
    for (probe, name), of_value in newest.groupby(["probe", "name"], sort=False):
        shown = {row["subject"]: number(row) for row in of_value.to_dict("records")}
        rows.append((str(probe), str(name), str(of_value["unit"].iloc[-1]), *(shown.get(each) for each in columns)))
    heads = [Column(name="Probe"), Column(name="Value"), Column(name="Unit")]
    return Table(
        title=title,
        columns=(*heads, *(Column(name=column, digits=0, show_as=_text) for column in columns)),
        rows=tuple(rows),
        caption=("Rounded to four digits; the records have all of them, and the protocol of every value.",),
    )


def _text(value: float) -> str:
    """Four digits, with G and M for what comes in thousands of millions and millions."""
    for limit, suffix in ((1e9, " G"), (1e6, " M")):
        if abs(value) >= limit:
            return f"{value / limit:.4g}{suffix}"
    return f"{value:.4g}"
