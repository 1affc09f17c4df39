"""What Tables 3 to 5 rest on, as the sentences below them: protocols, machines, schedules, the two rulers, states."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from bench.record import Scalar
from reports import paper

FITTED_REGIONS = (
    "The region counts of nominal costs, 97 for the baselines and 60.5 for EffSeg (94 and 58 with DefEnc), are fitted "
    "to the paper's totals, not measured. Independent checks are the detector, the parameters, and nine rows fitted "
    "by two numbers."
)
TWO_CONVENTIONS = (
    "One multiply-add is one MAC. 'GMACs (paper: GFLOPs)' counts transposed convolutions as the paper's fvcore did, "
    "at their output resolution; 'GMACs, correct' counts what they compute."
)
NO_WEIGHTS = "No trained weights were measured, and the accuracy of random weights is never shown."
OUR_INTERVALS = (
    "95%: our interval, from resampled images; it speaks of the choice of images, not of the training seed. inside: "
    "whether the paper's number lies in it. diff: ours less the paper's. Bold: the best of ours."
)
STATES = {
    "untrained": "untrained: only random weights were measured, whose accuracy is never shown",
    "failed": "failed: the measurement ended with an error, which its record tells",
    "other machine": "other machine: timed only on another machine than the last one, and times do not compare",
}
"""What a row says where it has no number, and what that means."""

CHECKED = ("check_torch_conv_matmul", "check_fvcore_conv_matmul", "macs", "macs_head")
"""The values of the probe `flops` that the notes on rulers and detector are made of."""


@dataclass
class Used:
    """What a table's values rest on, for the caption: protocols by probe, machines, schedules, checks, the detector.

    `rulers` says of every row with costs whether fvcore and torch agree. `detectors` are GMACs of whole models less
    those of their heads. `states` are those of `STATES` that some row has.
    """

    protocols: dict[str, list[dict[str, Scalar]]] = field(default_factory=dict)
    machines: set[str] = field(default_factory=set)
    schedules: set[str] = field(default_factory=set)
    rulers: dict[str, bool] = field(default_factory=dict)
    detectors: dict[str, float] = field(default_factory=dict)
    states: set[str] = field(default_factory=set)
    has_accuracy: bool = False

    def add(self, value: pd.Series) -> None:
        """Note where one value is from."""
        known = self.protocols.setdefault(value["probe"], [])
        if value["protocol"] not in known:
            known.append(value["protocol"])
        self.schedules.add(value["schedule"])
        self.has_accuracy |= value["probe"] == "accuracy"
        if value["name"].startswith("fps"):
            self.machines.add(value["machine"])

    def check(self, values: Mapping[str, float], row: paper.Row, name: str) -> None:
        """Note whether both rulers agree on the row called `name`, and what its detector costs."""
        if values.keys() >= set(CHECKED):
            self.rulers[name] = values["check_torch_conv_matmul"] == values["check_fvcore_conv_matmul"]
            backbone = paper.BACKBONES.get(row.backbone, row.backbone)
            self.detectors[backbone] = (values["macs"] - values["macs_head"]) / 1e9


def caption(used: Used, *, of_accuracy: bool, of_costs: bool) -> tuple[str, ...]:
    """The sentences of a table that has accuracies, costs, or both."""
    sentences = [FITTED_REGIONS, TWO_CONVENTIONS] if of_costs else []
    if used.detectors:
        costs = ", ".join(f"{gmacs:.1f} ({backbone})" for backbone, gmacs in sorted(used.detectors.items()))
        sentences.append(f"GMACs of the detector alone, before any head: {costs}; the paper's with R50+FPN: 165.1.")
    if used.rulers:
        odd = ", ".join(name for name, agree in used.rulers.items() if not agree)
        sentences.append(
            f"fvcore and torch's counter DISAGREE on convolutions and matrix products in: {odd}."
            if odd
            else "fvcore and torch's counter agree on convolutions and matrix products in every row measured."
        )
    if of_accuracy:
        sentences.append(OUR_INTERVALS if used.has_accuracy else NO_WEIGHTS)
    if "none" in used.schedules:
        sentences.append("Random weights know no schedule: rows that differ only in epochs show the same measurement.")
    told = [meaning for state, meaning in STATES.items() if state in used.states]
    if told:
        sentences.append(f"{'; '.join(told)}.")
    if used.machines:
        sentences.append(f"FPS: ours on {', '.join(sorted(used.machines))}, the paper's on an A100.")
    return (*sentences, *(_protocol(probe, used.protocols[probe]) for probe in sorted(used.protocols)))


def _protocol(probe: str, protocols: Sequence[dict[str, Scalar]]) -> str:
    """What all protocols of a probe have in common, and the names of what differs."""
    names = [name for name in dict.fromkeys(name for protocol in protocols for name in protocol) if name != "probe"]
    common = [name for name in names if all(protocol.get(name) == protocols[0].get(name) for protocol in protocols)]
    # A checksum's first digits tell data sets apart; the record has all of it.
    texts = {name: str(protocols[0][name]) for name in common if protocols[0][name] is not None}
    parts = [f"{name} {text[:15] if text.startswith('sha256:') else text}" for name, text in texts.items()]
    differing = [name for name in names if name not in common]
    if differing:
        parts.append(f"by row: {', '.join(differing)}")
    return f"Protocol of {probe}: {'; '.join(parts)}."
