"""Reading a figure: its SVG and the texts in it."""

import xml.etree.ElementTree as ElementTree

from reports.figures.style import Figure


def parsed(figure: Figure | None) -> ElementTree.Element:
    assert figure is not None
    return ElementTree.fromstring(figure.svg)


def texts(figure: Figure | None) -> list[str]:
    return ["".join(each.itertext()).strip() for each in parsed(figure).iter() if each.tag.endswith("text")]
