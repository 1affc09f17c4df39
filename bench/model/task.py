"""The task of a training: its model and its data. Two trainings of one task by one recipe give the same weights."""

import msgspec

from bench.record import Subject


class Task(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The model, the classes and the data of a training.

    `subject.seed` draws the initial weights, the order of the images and whatever the head draws. Label `i` is category
    `category_ids[i]`. `data` names the images by their content, such as the SHA-256 of the annotation file, or of
    generated images their generator, seed and number. `detector` is the SHA-256 of weights that a frozen detector has,
    `initial` that of weights of another task that this one starts from, as far as they fit. `category_names[i]` is the
    name of label `i`; there are none where nobody said them.

    The rest is what inference needs to know where it is not the preset's: images are resized to `input_size` (short
    side, long side at most), and the detector has `num_queries` queries and gives `num_detections` detections.
    """

    subject: Subject
    category_ids: tuple[int, ...]
    data: str
    detector: str | None = None
    initial: str | None = None
    category_names: tuple[str, ...] = ()
    input_size: tuple[int, int] | None = None
    num_queries: int | None = None
    num_detections: int | None = None


def check_categories(found: tuple[int, ...], wanted: tuple[int, ...], origin: str) -> None:
    """Raise ValueError that names the categories in which two lists differ."""
    if found == wanted:
        return
    only_found, only_wanted = sorted(set(found) - set(wanted)), sorted(set(wanted) - set(found))
    raise ValueError(
        f"{origin} is for other categories: {len(found)}, the data has {len(wanted)}"
        f"{_listed('; it alone has', only_found)}{_listed('; the data alone has', only_wanted)}"
        f"{'' if only_found or only_wanted else '; they are in another order'}; expected the same ids in the same "
        "order; give weights and data that belong together."
    )


def check_same(found: Task, wanted: Task, origin: str) -> None:
    """Raise ValueError that names what differs between the task of a checkpoint and the one at hand."""
    check_categories(found.category_ids, wanted.category_ids, origin)
    differences = [
        f"{name} {getattr(found.subject, name)!r} instead of {getattr(wanted.subject, name)!r}"
        for name in Subject.__struct_fields__
        if getattr(found.subject, name) != getattr(wanted.subject, name)
    ]
    differences += [
        f"{name} {getattr(found, name)!r} instead of {getattr(wanted, name)!r}"
        for name in ("data", "detector", "initial", "input_size", "num_queries", "num_detections")
        if getattr(found, name) != getattr(wanted, name)
    ]
    if differences:
        raise ValueError(
            f"{origin} belongs to another training: {'; '.join(differences)}; expected one of the same model on the "
            "same data; give another directory, or repeat what was asked for then."
        )


def _listed(words: str, ids: list[int], most: int = 8) -> str:
    return f"{words} {', '.join(map(str, ids[:most]))}{', ...' * (len(ids) > most)}" if ids else ""
