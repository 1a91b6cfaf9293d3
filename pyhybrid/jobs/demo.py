"""The main job from end to end, on made-up data or on a public data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyhybrid.checks import count
from pyhybrid.data.tables import write_parquet
from pyhybrid.jobs.comparing import compare_on, read, table
from pyhybrid.storage import require_free

if TYPE_CHECKING:
    import os

__all__ = ["run"]

_COMPARED = ("popularity", "text", "esler", "esler+text")  # what needs no extra


def run(
    data: str | os.PathLike[str] | None, out: str | os.PathLike[str], *, n: int = 10, seed: int = 0
) -> dict[str, Any]:
    """Read, split, fit, compare, write recommendations; say what is done.

    What recommends is ESLER with the items' texts, or without where the data have none.

    Args:
        data: A folder that `readers.open_folder` knows; None: `synthetic.topics`.
        out: A folder for ``recommendations.parquet``, ``model``, ``compare.json`` and
            ``compare.html``; earlier ones are replaced.
        n: Items a user.
        seed: Of the data and the split.

    Returns:
        What ``compare.json`` holds.

    Raises:
        ValueError: If ESLER can't be fitted, for instance for lack of memory.
    """
    out = Path(out)
    n = count("demo", "n", n)
    require_free(out / "model")
    given = read(data, seed)
    split = given.split
    print(f"data   {given.source}\nsplit  {split}\n")
    result, models = compare_on(given, _COMPARED, out, seed=seed, command="pyhybrid demo")
    print(f"\n{table(result)}")

    if "esler" not in models:
        raise ValueError(result["models"]["esler"]["skipped"])
    model = models.get("esler+text", models["esler"])
    model.save(out / "model")
    test = split.test
    ranking = model.recommend(test.histories, n, exclude_seen=test.exclude_seen)
    target = out / "recommendations.parquet"
    write_parquet(ranking.to_arrow(), target)
    print(
        f"\nwrote  {target}: top {n} of {len(ranking)} users, by {model!r}"
        f"\nwrote  {out / 'model'}"
        f"\nwrote  {out / 'compare.html'}: what each model keeps, to open in a browser"
        "\ntry    pyhybrid split --help        your own events: split, fit, recommend, evaluate"
        "\n       pyhybrid compare --help      more models, and public data sets"
    )
    return result
