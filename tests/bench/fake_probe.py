"""A probe that measures nothing, for tests of what is around a measurement."""

from bench.contract import Context, Measurement
from bench.record import Scalar, Subject, rows


class FakeProbe:
    """Stands in for every probe: prints `chatter` while measuring, as libraries do, and fails for the heads named."""

    VERSION = 1
    TIMED = False
    NEEDS_IMAGES = False
    NEEDS_WEIGHTS = False
    broken_head = ""
    interrupted_head = ""
    chatter = ""

    def protocol(self, subject: Subject, context: Context) -> dict[str, Scalar]:
        return {"regions": context.regions}

    def measure(self, subject: Subject, context: Context) -> Measurement:
        print(self.chatter, end="")
        if subject.head == self.interrupted_head:
            raise KeyboardInterrupt
        if subject.head == self.broken_head:
            raise RuntimeError("a [bracket] broke")
        values = {"params_head": 2_906_192, "params_trainable": 37_507_214}
        return Measurement(values=tuple(rows(values, "parameters")))
