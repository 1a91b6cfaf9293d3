"""One task, several contenders: interleaved timing, and a check that all did the same.

Every contender is called once to warm up (compilation, thread pools, first touch of buffers) and
its result compared with the first contender's, which is ours. Then they take turns, in an order
that is rotated each time, so that a slow minute of the machine falls on all of them. A turn is a
pause and one call, or as many as take half a second: processors that have paused are slow at first.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

# OpenMP's and OpenBLAS' threads spin for a while after a call; they must not spin into the next.
PAUSE_SECONDS = 0.3
TURN_SECONDS = 0.5
OURS = "pyhybrid"


@dataclass(frozen=True)
class Contender:
    """Hold how a contender gets ready and what of it is timed.

    Attributes:
        prepare: Called once; returns the function to time. An ImportError means absent.
        before: Called, untimed, before each timed call: restores what the call destroys.
        finish: Turns a result, untimed, into what is compared.
        most: At most so many timed repetitions, for the very slow.
        warm_up: False leaves the warm-up call out; the first timed one is then compared.
        units: The task's size where it differs from the others'; ratios are per unit.
        bound: No peer, but a bound on what is possible.
    """

    prepare: Callable[[], Callable[[], Any]]
    before: Callable[[], object] | None = None
    finish: Callable[[Any], Any] | None = None
    most: int | None = None
    warm_up: bool = True
    units: int | None = None
    bound: bool = False


def contest(
    contenders: dict[str, Contender],
    compare: Callable[[Any, Any], dict[str, Any]],
    *,
    repetitions: int,
    units: int = 1,
) -> dict[str, Any]:
    """Measure all contenders that are there; the first one, `OURS`, is the reference.

    Args:
        contenders: By name.
        compare: Gives a peer's agreement from (ours, the peer's): figures, and ``"agrees"``.
        repetitions: Turns each.
        units: The size of the task, for rates and ratios: users, or 1.

    Returns:
        ``contenders``: seconds (median, min, max), units a second and agreement by name;
        ``absent``: why, by name; ``ratios``: peer seconds / ours; ``best_peer``.
    """
    runs, absent = {}, {}
    for name, contender in contenders.items():
        try:
            runs[name] = contender.prepare()
        except ImportError as error:
            absent[name] = str(error).splitlines()[0]
    reference, agreement = None, {}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for repetition in range(-1, repetitions):  # -1 warms up, in the order given: ours comes first
        for name in _rotated(list(runs), max(repetition, 0)):
            contender = contenders[name]
            wanted = contender.warm_up if repetition < 0 else _wants(contender, seconds[name])
            if not wanted:
                continue
            once = repetition < 0 or contender.most is not None
            result, taken = _turn(contender, runs[name], 0.0 if once else TURN_SECONDS)
            if repetition >= 0:
                seconds[name] += taken
            if name == OURS and reference is None:
                reference = contender.finish(result) if contender.finish else result
            elif name != OURS and name not in agreement and not contender.bound:
                theirs = contender.finish(result) if contender.finish else result
                agreement[name] = compare(reference, theirs)
                del theirs
            del result
    figures = {
        name: _figures(contenders[name], taken, units, agreement.get(name))
        for name, taken in seconds.items()
    }
    return {"contenders": figures, "absent": absent, **_ratios(figures)}


def _rotated(names: list[str], by: int) -> list[str]:
    by %= len(names)
    return names[by:] + names[:by]


def _wants(contender: Contender, taken: list[float]) -> bool:
    return contender.most is None or len(taken) < contender.most


def _turn(
    contender: Contender, run: Callable[[], Any], enough_seconds: float
) -> tuple[Any, list[float]]:
    """Pause, then call until that has taken enough; return the last result and all times."""
    taken: list[float] = []
    time.sleep(PAUSE_SECONDS)
    while True:
        if contender.before:
            contender.before()
        started = time.perf_counter()
        result = run()
        taken.append(time.perf_counter() - started)
        if sum(taken) >= enough_seconds:
            return result, taken
        del result


def _figures(
    contender: Contender, taken: list[float], units: int, agreement: dict[str, Any] | None
) -> dict[str, Any]:
    units = contender.units or units
    figures = {
        "median": median(taken),
        "min": min(taken),
        "max": max(taken),
        "repetitions": len(taken),
        "warm_up": contender.warm_up,
        "bound": contender.bound,
    }
    if units > 1:
        figures |= {"units": units, "units_per_second": units / median(taken)}
    return figures if agreement is None else {**figures, "agreement": agreement}


def _ratios(figures: dict[str, Any]) -> dict[str, Any]:
    def per_unit(name: str) -> float:
        return figures[name]["median"] / figures[name].get("units", 1)

    ratios = {name: per_unit(name) / per_unit(OURS) for name in figures if name != OURS}
    peers = [name for name in ratios if not figures[name]["bound"]]
    return {"ratios": ratios, "best_peer": min(peers, key=per_unit, default=None)}


def disagreeing(found: dict[str, Any]) -> list[str]:
    """Name the peers whose results were not ours."""
    return [
        name
        for name, figures in found.get("contenders", {}).items()
        if not figures.get("agreement", {"agrees": True})["agrees"]
    ]


def show(row: str, found: dict[str, Any]) -> None:
    """Print a contest's outcome as a table."""
    print(f"\n{row}: seconds: median (min to max), and times ours")
    for name, figures in found["contenders"].items():
        ratio = found["ratios"].get(name, 1.0)
        spread = f"({figures['min']:.3f} to {figures['max']:.3f})"
        rate = f"{figures['units_per_second']:,.0f}/s" if "units_per_second" in figures else ""
        close = {key: _short(value) for key, value in figures.get("agreement", {}).items()}
        told = " ".join(f"{key}={value}" for key, value in close.items())
        print(
            f"  {name:<34} {figures['median']:9.3f} {spread:<20} {ratio:7.2f} x {rate:>12} {told}"
        )
    for name, why in found["absent"].items():
        print(f"  {name:<34} absent: {why}")
    for name in disagreeing(found):
        print(f"  {name} DISAGREES")


def _short(value: Any) -> str:
    return f"{value:.2g}" if isinstance(value, float) else str(value)
