"""Read the numbers of a comparison, any of which may be missing, and word them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any

__all__ = [
    "bucket_name",
    "buckets",
    "bytes_of",
    "decimal",
    "duration",
    "few",
    "number",
    "numbers",
    "percent",
    "signed",
    "spelled",
    "text",
    "whole",
]


def number(where: object, *path: str) -> float | None:
    """Follow the keys of a path; None where one is missing or no finite number stands at its end.

    >>> number({"warm": {"ndcg@10": 0.25}, "cold": None}, "warm", "ndcg@10")
    0.25
    >>> number({"warm": {"ndcg@10": 0.25}, "cold": None}, "cold", "ndcg@10") is None
    True
    """
    for key in path:
        where = where.get(key) if isinstance(where, Mapping) else None
    if isinstance(where, bool) or not isinstance(where, Real) or not math.isfinite(where):
        return None
    return float(where)


def numbers(where: object, *path: str) -> list[float | None]:
    """Follow the keys of a path to a list of numbers, None where one is missing or not finite.

    >>> numbers({"curve": {"known": [0.5, None]}}, "curve", "known"), numbers({}, "curve", "known")
    ([0.5, None], [])
    """
    for key in path:
        where = where.get(key) if isinstance(where, Mapping) else None
    return [number(value) for value in where] if isinstance(where, list | tuple) else []


def text(where: object, *path: str) -> str:
    """Follow the keys of a path to a text; the empty one where there is none.

    >>> text({"machine": {"cpu": "Xeon"}}, "machine", "cpu"), text({}, "machine", "cpu")
    ('Xeon', '')
    """
    for key in path:
        where = where.get(key) if isinstance(where, Mapping) else None
    return "" if where is None else str(where)


def decimal(value: float, places: int = 3) -> str:
    """Word a figure; one that would round to 0 without being 0 says so.

    >>> decimal(0.2), decimal(0.0), decimal(0.0002), decimal(-1e-15)
    ('0.200', '0.000', '<0.001', '0.000')
    """
    least = 10.0**-places
    if 0 < value < least / 2:
        return f"<{least:.{places}f}"
    return f"{value:.{places}f}" if abs(value) >= least / 2 else f"{0:.{places}f}"


def signed(value: float, places: int = 3) -> str:
    r"""Word a difference, with a real minus sign.

    >>> signed(0.0312), signed(-0.0001), ascii(signed(-0.21))
    ('+0.031', '0.000', "'\\u22120.210'")
    """
    worded = f"{value:+.{places}f}"
    return worded[1:] if float(worded) == 0 else worded.replace("-", "\u2212")


def percent(value: float, places: int = 0) -> str:
    r"""Word a share, with a space that does not break.

    >>> percent(0.47), percent(1.034), percent(0.0213, 1)
    ('47\xa0%', '103\xa0%', '2.1\xa0%')
    """
    return f"{100 * value:.{places}f}\u00a0%"


def few(value: float) -> str:
    """Word a number of interactions, which need not be whole.

    >>> few(0.18), few(9.96), few(132.4)
    ('0.2', '10', '132')
    """
    return f"{value:.1f}" if value < 9.95 else whole(value)


def whole(value: float) -> str:
    """Word a count.

    >>> whole(1000209)
    '1,000,209'
    """
    return f"{value:,.0f}"


def spelled(count: int) -> str:
    """Spell a small count, as at the beginning of a sentence.

    >>> spelled(3), spelled(13)
    ('Three', '13')
    """
    return _SMALL[count] if count < len(_SMALL) else str(count)


_SMALL = ("No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten")


def duration(seconds: float) -> str:
    r"""Word a time in the units that a reader would choose.

    >>> [duration(time).replace("\xa0", " ") for time in (0.1234, 12.34, 245, 7425)]
    ['0.12 s', '12.3 s', '4 min 05 s', '2 h 04 min']
    """
    if seconds < 59.95:
        return f"{seconds:.{2 if seconds < 9.995 else 1}f}\u00a0s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}\u00a0min\u00a0{rest:02d}\u00a0s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours:,}\u00a0h\u00a0{minutes:02d}\u00a0min"


def bytes_of(value: float) -> str:
    r"""Word a size in decimal units.

    >>> [bytes_of(size).replace("\xa0", " ") for size in (512, 30_000, 1_250_000, 3.1e9)]
    ['512 B', '30 kB', '1.2 MB', '3.1 GB']
    """
    for unit, size, places in (("GB", 1e9, 1), ("MB", 1e6, 1), ("kB", 1e3, 0)):
        if value >= size:
            return f"{value / size:,.{places}f}\u00a0{unit}"
    return f"{value:.0f}\u00a0B"


def buckets(models: Iterable[Mapping[str, Any]], key: str) -> list[str]:
    """List the buckets that any model has a figure in, from the lowest to the highest.

    >>> buckets([{"by_frequency": {"more": {}, "21-100": {}, "6-20": {}, "0": {}}}], "by_frequency")
    ['0', '6-20', '21-100', 'more']
    """
    found = {name for model in models for name in model.get(key) or {}}
    return sorted(found, key=lambda name: (_start(name), name))


def bucket_name(bucket: str, among: list[str]) -> str:
    r"""Name a bucket for a reader.

    >>> bucket_name("more", ["21-100", "more"]), ascii(bucket_name("21-100", ["21-100", "more"]))
    ('over 100', "'21\\u2013100'")
    """
    limits = [name.rpartition("-")[2] for name in among if _start(name) < math.inf]
    if bucket == "more" and limits:
        return f"over {limits[-1]}"
    return bucket.replace("-", "\u2013")


def _start(bucket: str) -> float:
    first = bucket.partition("-")[0]
    return int(first) if first.isdecimal() else math.inf
