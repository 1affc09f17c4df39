"""Match tables as plain arrays for one npz file beside a record, and back: small, exact, and without pickle."""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from jaxtyping import Bool, Int32, Int64, Shaped, UInt8

from bench.accuracy.matching import Matches
from bench.accuracy.protocol import ScoringProtocol
from bench.accuracy.selection import ranks

_PROTOCOLS = "protocols"


def pack(matches: Sequence[Matches]) -> dict[str, Shaped[np.ndarray, "..."]]:
    """Arrays by name: `protocols`, a JSON string each, and columns such as `0_score` of the first protocol.

    Columns that are sorted become numbers of repetitions, booleans bits, and whole numbers take no more bytes than
    they need; `rank` follows from the rest.
    """
    texts = [_written(each.protocol) for each in matches]
    arrays = {_PROTOCOLS: np.array(texts, np.str_)}
    for place, each in enumerate(matches):
        num_categories = len(each.category_ids)
        columns = {
            "image_ids": each.image_ids,
            "category_ids": each.category_ids,
            "frequencies": np.array(each.frequencies, np.str_),
            "category_sizes": np.bincount(each.category, minlength=num_categories),
            "image": _narrow(each.image),
            "score": each.score,
            "matched": np.packbits(each.matched, axis=2),
            "ignored": np.packbits(each.ignored, axis=2),
            "truth_category_sizes": np.bincount(each.truth_category, minlength=num_categories),
            "truth_image": _narrow(each.truth_image),
            "truth_ignored": np.packbits(each.truth_ignored, axis=1),
        }
        arrays |= {f"{place}_{name}": column for name, column in columns.items()}
    return arrays


def unpack(arrays: Mapping[str, Shaped[np.ndarray, "..."]]) -> list[Matches]:
    """The tables that `pack` was given. Raises ValueError for arrays that it did not make."""
    try:
        texts = arrays[_PROTOCOLS].tolist()
        return [_table(arrays, place, text) for place, text in enumerate(texts)]
    except (KeyError, msgspec.ValidationError) as error:
        raise ValueError(
            f"The arrays hold no match tables that can be read: {error}; expected those of bench.accuracy.archive's "
            "pack; give such a file, or evaluate the predictions again."
        ) from error


def _table(arrays: Mapping[str, Shaped[np.ndarray, "..."]], place: int, text: str) -> Matches:
    def column(name: str) -> Shaped[np.ndarray, "..."]:
        return arrays[f"{place}_{name}"]

    image = column("image").astype(np.int32)
    category = _repeated(column("category_sizes"))
    truth_image = column("truth_image").astype(np.int32)
    return Matches(
        protocol=msgspec.json.decode(text, type=ScoringProtocol),
        image_ids=column("image_ids"),
        category_ids=column("category_ids"),
        frequencies=tuple(column("frequencies").tolist()),
        image=image,
        category=category,
        score=column("score"),
        rank=ranks(category.astype(np.int64) * len(column("image_ids")) + image).astype(np.int32),
        matched=_booleans(column("matched"), len(image)),
        ignored=_booleans(column("ignored"), len(image)),
        truth_image=truth_image,
        truth_category=_repeated(column("truth_category_sizes")),
        truth_ignored=_booleans(column("truth_ignored"), len(truth_image)),
    )


def _narrow(numbers: Int32[np.ndarray, "N"]) -> Shaped[np.ndarray, "N"]:
    """Keep the numbers, which are not negative, in as few bytes as the largest one needs."""
    return numbers.astype(np.min_scalar_type(int(numbers.max(initial=0))))


def _repeated(sizes: Int64[np.ndarray, "C"]) -> Int32[np.ndarray, "_"]:
    return np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)


def _booleans(bits: UInt8[np.ndarray, "*shape N_8"], length: int) -> Bool[np.ndarray, "*shape N"]:
    return np.unpackbits(bits, axis=-1, count=length).view(np.bool_)


def _written(protocol: ScoringProtocol) -> str:
    """A protocol as JSON, without what was not there before and is as it was then."""
    fields = msgspec.to_builtins(protocol)
    if not protocol.class_agnostic:
        del fields["class_agnostic"]
    return msgspec.json.encode(fields).decode()
