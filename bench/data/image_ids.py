"""Ids of images. COCO's are whole numbers; other tools write text, for which a whole number stands inside the project.

The number is a function of the text, so that files which mean the same image agree on it without knowing of each other.
Whatever is shown or written says the text again.
"""

import hashlib

Id = int | str

_LOWEST = -(2**63)
_SPAN = 2**62
"""Numbers of texts lie in [-2**63, -2**62): nobody numbers images there."""

_texts: dict[int, str] = {}


def number(given: Id | float) -> int:
    """The number that an id stands for: itself, that of its digits, or one of its text's own.

    1.0 and "1" are 1; "01" is text, since it names another file. Raises ValueError for a number that is not whole.
    """
    if isinstance(given, str):
        return int(given) if _is_number(given) else _remember(given)
    if given != int(given):
        raise ValueError(f"The id {given} is not whole; expected a whole number or text; repair it.")
    return int(given)


def original(image_id: int) -> Id:
    """What the file called an image."""
    return _texts.get(image_id, image_id)


def natural(image_id: int) -> tuple[bool, int, str]:
    """By what images are ordered: numbers first, then texts as in a dictionary."""
    text = _texts.get(image_id)
    return (text is not None, 0 if text is not None else image_id, text or "")


def _is_number(text: str) -> bool:
    digits = text.removeprefix("-")
    return digits.isascii() and digits.isdigit() and text == str(int(text)) and abs(int(text)) < _SPAN


def _remember(text: str) -> int:
    digest = int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big")
    found = _LOWEST + digest % _SPAN
    _texts[found] = text
    return found
