"""Things are counted, the first few by name."""

from bench.data.findings import Finding, Ledger


def test_the_first_three_are_named() -> None:
    ledger = Ledger()
    for place in "abcd":
        ledger.note("odd", "odd things", place)
    ledger.note("other", "other things", "x", count=2000)
    odd, other = ledger.findings
    assert odd.sentence() == "odd things: 4 (a, b, c, ...)"
    assert other.sentence() == "other things: 2,000 (x, ...)"


def test_ledgers_are_added() -> None:
    ledger = Ledger()
    ledger.note("odd", "odd things", "a")
    ledger.add([Finding(name="odd", what="odd things", count=3, examples=("b", "c", "d"))])
    ledger.add([Finding(name="none", what="things without names", count=1)])
    assert [finding.sentence() for finding in ledger.findings] == [
        "odd things: 4 (a, b, c, ...)",
        "things without names: 1",
    ]
