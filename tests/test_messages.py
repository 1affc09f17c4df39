"""Errors for people: what happened, what was expected, what to do; every message of the project is read here.

Messages are collected from the source, each `{value}` a mark. A message has at least three parts, each a sentence or
what stands between semicolons. It names a value, unless it is about something that is not there, and one of its later
parts says what to do: it begins with a verb or names a command. Where a message ends with another one (`{error}`,
`{problem}`), that one has to say the rest.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXCEPTIONS = {"ValueError", "TrainingStopped"}
VALUE, MESSAGE = "<value>", "<message>"
INNER = {"error", "problem", "reason", "fault", "remedy", "offer"}
"""Names of variables and attributes that hold another message."""

_VERBS = """
add ask build call check choose convert convolve copy correct cut delete do download encode evaluate expect give
install leave look make match measure name narrow pad pass process put raise read remove rename repair repeat replace
restore run score set show stack start take turn unpack use write change
"""
VERBS = frozenset(_VERBS.split())
COMMAND = re.compile(r"run_bench\.py|pip install")
SPELT_OUT = re.compile(r"[A-Z]{5,}|'[^']+'")
ABSENT = re.compile(r"\b(no|not|nothing|none|neither|without|different)\b", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Message:
    """A message with its place, `<value>` where a value is filled in."""

    place: str
    text: str

    @property
    def parts(self) -> list[str]:
        """Sentences, and what stands between semicolons."""
        return re.split(r"(?<=[.;?])\s+", self.text.strip())

    def faults(self) -> list[str]:
        """What the message lacks, in words."""
        if self.text.rstrip(".").endswith(MESSAGE):
            return []
        found = []
        if len(self.parts) + self.text.count(MESSAGE) < 3:
            found.append("has fewer than three parts: what happened; what was expected; what to do")
        if not (VALUE in self.text or SPELT_OUT.search(self.parts[0]) or ABSENT.search(self.parts[0])):
            found.append("names no value")
        if not any(_says_what_to_do(part) for part in self.parts[1:]):
            found.append("does not say what to do")
        return found


def _says_what_to_do(part: str) -> bool:
    first, *_ = re.findall(r"[a-z]+", part.lower()) or [""]
    return first in VERBS or COMMAND.search(part) is not None


def _text(node: ast.expr) -> str | None:
    """A string as it is written, with marks; None for what is computed elsewhere."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(
                _mark(part.value) if isinstance(part, ast.FormattedValue) else _text(part) or "" for part in parts
            )
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return (_text(left) or VALUE) + (_text(right) or VALUE)
    return None


def _mark(value: ast.expr) -> str:
    called = value.func if isinstance(value, ast.Call) else value
    name = called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""
    return MESSAGE if name in INNER else VALUE


def messages(file: Path) -> Iterator[Message]:
    """All messages of the exceptions that a file makes, also those that a function of the file puts together."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    functions = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name), args=[ast.Call(func=ast.Name(id=writer)), *_]) if (
                name in EXCEPTIONS and writer in functions
            ):
                returns = [each for each in ast.walk(functions[writer]) if isinstance(each, ast.Return)]
                made = [each.value for each in returns if each.value is not None]
            case ast.Call(func=ast.Name(id=name), args=[message, *_]) if name in EXCEPTIONS:
                made = [message]
            case _:
                continue
        for written in made:
            text = _text(written)
            if text is not None:
                yield Message(place=f"{file.relative_to(ROOT)}:{written.lineno}", text=text)


ALL = [
    message
    for package in ("sparsity", "heads", "bench", "reports")
    for file in sorted((ROOT / package).rglob("*.py"))
    for message in messages(file)
]


def test_there_are_messages() -> None:
    assert len(ALL) > 100


@pytest.mark.parametrize("message", ALL, ids=lambda message: message.place)
def test_a_message_says_what_happened_what_was_expected_and_what_to_do(message: Message) -> None:
    assert not message.faults(), f"{message.text!r}: {'; '.join(message.faults())}"


@pytest.mark.parametrize(
    "message", [each for each in ALL if not each.place.startswith("bench/cli/")], ids=lambda message: message.place
)
def test_a_message_speaks_to_users_of_python_too(message: Message) -> None:
    """Options are the command line's; a whole command may be told anywhere."""
    assert COMMAND.search(message.text) or not re.search(r"(?<!-)--[a-z]", message.text), message.text


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("Something is wrong; expected better; repair it.", "names no value"),
        ("<value> is wrong.", "fewer than three parts"),
        ("<value> is wrong; expected a number; this one is none.", "does not say what to do"),
        ("<message> Expected another.", "fewer than three parts"),
    ],
)
def test_bad_messages_are_found(text: str, fault: str) -> None:
    (found,) = Message(place="here", text=text).faults()[:1]
    assert fault in found
