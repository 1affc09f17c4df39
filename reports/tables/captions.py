"""What Tables 3 to 5 rest on, as the sentences below them: protocols, machines, schedules, the two rulers, states."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from bench.record import Scalar
from reports import paper
from reports.select.comparable import Comparable, is_timed
from reports.select.measured import Measured

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
    "left out": "left out: measured otherwise than the newest",
}
"""What a row says where it has no number, and what that means."""


@dataclass
class Used:
    """Evidence behind a table's values, for the caption.

    `records` are those that it shows, each once; `states` those of `STATES` that some row has. `costs` has the record
    of `flops` of every row with its backbone, by what the row is called.
    """

    records: dict[Measured, None] = field(default_factory=dict)
    states: set[str] = field(default_factory=set)
    costs: dict[str, tuple[str, Measured]] = field(default_factory=dict)


def caption(used: Used, choices: Iterable[Comparable], *, of_accuracy: bool, of_costs: bool) -> tuple[str, ...]:
    """The sentences of a table that has accuracies, costs, or both; `choices` are those of its columns."""
    sentences = [FITTED_REGIONS, TWO_CONVENTIONS] if of_costs else []
    sentences += _rulers(used)
    protocols: dict[str, list[dict[str, Scalar]]] = {}
    for each in used.records:
        protocols.setdefault(each.probe, []).append(each.protocol)
    if of_accuracy:
        sentences.append(OUR_INTERVALS if "accuracy" in protocols else NO_WEIGHTS)
    if any(each.subject.schedule == "none" for each in used.records):
        sentences.append("Random weights know no schedule: rows that differ only in epochs show the same measurement.")
    told = [meaning for state, meaning in STATES.items() if state in used.states]
    if told:
        sentences.append(f"{'; '.join(told)}.")
    sentences += dict.fromkeys(sentence for choice in choices for sentence in choice.sentences())
    machines = {each.machine for each in used.records if is_timed(each.probe)}
    if machines:
        sentences.append(f"FPS: ours on {', '.join(sorted(machines))}, the paper's on an A100.")
    return (*sentences, *(_protocol(probe, protocols[probe]) for probe in sorted(protocols)))


def _rulers(used: Used) -> Iterator[str]:
    """What the detectors cost, and whether fvcore and torch agree on every row, as far as both were counted."""
    agree: dict[str, bool] = {}
    detectors: dict[str, float] = {}
    for row, (backbone, found) in used.costs.items():
        torch, fvcore = (found.number("check_macs_conv_matmul", ruler=ruler) for ruler in ("torch", "fvcore"))
        whole, head = found.number("macs"), found.number("macs_head")
        if torch is not None and fvcore is not None and whole is not None and head is not None:
            agree[row] = torch == fvcore
            detectors[paper.BACKBONES.get(backbone, backbone)] = (whole - head) / 1e9
    if detectors:
        costs = ", ".join(f"{gmacs:.1f} ({backbone})" for backbone, gmacs in sorted(detectors.items()))
        yield f"GMACs of the detector alone, before any head: {costs}; the paper's with R50+FPN: 165.1."
        odd = ", ".join(row for row, same in agree.items() if not same)
        yield (
            f"fvcore and torch's counter DISAGREE on convolutions and matrix products in: {odd}."
            if odd
            else "fvcore and torch's counter agree on convolutions and matrix products in every row measured."
        )


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
