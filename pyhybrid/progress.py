"""Progress bars for long work."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Progress: TypeAlias = bool | Callable[[float], object]

__all__ = ["part_of", "progress_bar", "tell"]


@contextmanager
def progress_bar(
    description: str, progress: Progress = True
) -> Iterator[Callable[[float], object] | None]:
    """Give what reports progress: a bar on stderr, the caller's own callable, or None.

    Args:
        description: What the bar says is going on.
        progress: True for a bar (shown on a terminal only), False for none, or a callable that is
            handed the share done, 0.0 to 1.0.

    >>> with progress_bar("solving", False) as report:
    ...     report is None
    True
    """
    if callable(progress):
        yield progress
    elif not progress:
        yield None
    else:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
        from rich.progress import TimeRemainingColumn as Remaining

        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), Remaining())
        console = Console(stderr=True)
        with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
            task = bars.add_task(description, total=1.0)
            yield _Bar(
                lambda share: bars.update(task, completed=share),
                lambda text: bars.update(task, description=f"{description}: {text}"),
            )
            bars.update(task, completed=1.0)


class _Bar:
    """A bar on a terminal: what moves it, and what writes beside it."""

    def __init__(self, move: Callable[[float], object], write: Callable[[str], object]) -> None:
        self.move, self.write = move, write

    def __call__(self, share: float) -> None:
        self.move(share)


def tell(report: Callable[[float], object] | None, text: str) -> None:
    """Write how the work goes beside the bar, if `report` is one."""
    if isinstance(report, _Bar):
        report.write(text)


def part_of(
    report: Callable[[float], object] | None, first: float, last: float
) -> Callable[[float], object] | None:
    """Give what reports a part of the work as that part of the whole.

    >>> shares = []
    >>> part_of(shares.append, 0.5, 1.0)(0.5)
    >>> shares
    [0.75]
    """
    if report is None:
        return None

    def move(share: float) -> object:
        return report(first + share * (last - first))

    return _Bar(move, report.write) if isinstance(report, _Bar) else move
