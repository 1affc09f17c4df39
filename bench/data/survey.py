"""How the pictures of a data set are to be read: one rule for all of them, from their headers and annotated sizes.

Tools for annotation show pictures turned by their EXIF orientation, some older ones and COCO's do not; which of them
annotated a data set shows in its sizes. Nothing is decoded but pictures of 16 bits per channel, for their values.
"""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bench.data.findings import Finding, Ledger
from bench.data.images import QUARTER_TURNS, Header, ReadingRule, Size, Unreadable, bits_used, misfit, read_header

_NUM_THREADS = 4
_MOST_BITS = 16
_UNREADABLE = "pictures that cannot be read, skipped"


@dataclass(frozen=True, kw_only=True)
class Survey:
    """The rule by which to read every picture of a data set, and what was found."""

    rule: ReadingRule
    findings: tuple[Finding, ...]


@dataclass(frozen=True, kw_only=True)
class _Picture:
    path: Path
    annotated: Size
    header: Header

    @property
    def fits_raw(self) -> bool:
        return self.header.size == self.annotated

    @property
    def fits_turned(self) -> bool:
        height, width = self.header.size
        return self.annotated == ((width, height) if self.header.orientation in QUARTER_TURNS else (height, width))

    @property
    def has_to_turn(self) -> bool:
        return not self.header.is_turned and self.header.orientation in range(2, 9)


def survey(sizes: Mapping[Path, Size]) -> Survey:
    """Survey pictures, given with their annotated (height, width): those of all parts of a data set together.

    Their headers are read; nothing that does not fit its annotation is decoded. Pictures that will not be read are
    findings, not errors.
    """
    ledger = Ledger()
    pictures = []
    with ThreadPoolExecutor(_NUM_THREADS) as pool:
        for (path, annotated), header in zip(sizes.items(), pool.map(_header, sizes), strict=True):
            if isinstance(header, Unreadable):
                ledger.note("unreadable_pictures", _UNREADABLE, str(header))
                continue
            picture = _Picture(path=path, annotated=annotated, header=header)
            if not picture.fits_raw and not picture.fits_turned:
                why = misfit(path, header.size, header.orientation, annotated)
                ledger.note("misfit_pictures", "pictures of another size than annotated, skipped", why)
                continue
            if header.size == (1, 1):
                ledger.note("one_pixel_pictures", "pictures of a single pixel", path.name)
            pictures.append(picture)
    rule = ReadingRule(turned=_turned(pictures, ledger), bits=_bits(pictures, ledger))
    return Survey(rule=rule, findings=ledger.findings)


def _header(path: Path) -> Header | Unreadable:
    try:
        return read_header(path)
    except Unreadable as error:
        return error


def _turned(pictures: Iterable[_Picture], ledger: Ledger) -> bool:
    """Whether EXIF orientations hold: as the size of any picture tells that fits in one way alone, else yes."""
    turning = [picture for picture in pictures if picture.has_to_turn]
    only_turned = sum(not picture.fits_raw for picture in turning)
    only_raw = sum(not picture.fits_turned for picture in turning)
    if only_turned and only_raw:
        what = (
            f"pictures with an EXIF orientation, turned only where their size needs it (of some that fit in one way "
            f"alone, {only_turned:,} need it and {only_raw:,} must not)"
        )
    elif only_raw:
        what = f"pictures with an EXIF orientation, not turned since {only_raw:,} fit their annotated size only so"
    elif only_turned:
        what = f"pictures turned by their EXIF orientation since {only_turned:,} fit their annotated size only so"
    else:
        what = "pictures turned by their EXIF orientation, as viewers show them: no size tells whether they must be"
    for picture in turning:
        ledger.note("exif_pictures", what, picture.path.name)
    return bool(turning) and not only_raw


def _bits(pictures: Sequence[_Picture], ledger: Ledger) -> int:
    """How many bits the values of 16-bit greyscale use. Notes that, and colours that would come out dark."""
    grey = _bits_used([picture.path for picture in pictures if picture.header.is_grey16], ledger)
    bits = max(grey.values(), default=_MOST_BITS)
    if bits < _MOST_BITS:
        what = f"pictures whose values use {bits} of 16 bits, scaled to it (0 to {2**bits - 1} become 0 to 255)"
        for path in grey:
            ledger.note("bits_of_pictures", what, path.name)
    colour = _bits_used([picture.path for picture in pictures if picture.header.is_colour16], ledger)
    used = max(colour.values(), default=_MOST_BITS)
    if used < _MOST_BITS:
        what = f"colour pictures that use {used} of 16 bits and are read dark, from the upper 8: convert them to 8 bits"
        for path in colour:
            ledger.note("dark_pictures", what, path.name)
    return bits


def _bits_used(paths: Sequence[Path], ledger: Ledger) -> Mapping[Path, int]:
    """How many bits each picture uses, those left out that cannot be read; up to the first that uses all."""
    found: dict[Path, int] = {}
    with ThreadPoolExecutor(_NUM_THREADS) as pool:
        for path, used in zip(paths, pool.map(_used, paths), strict=True):
            if isinstance(used, Unreadable):
                ledger.note("unreadable_pictures", _UNREADABLE, str(used))
                continue
            found[path] = used
            if used == _MOST_BITS:
                pool.shutdown(cancel_futures=True)
                break
    return found


def _used(path: Path) -> int | Unreadable:
    try:
        return bits_used(path)
    except Unreadable as error:
        return error
