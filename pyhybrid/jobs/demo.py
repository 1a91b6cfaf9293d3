"""The main job from end to end, on made-up data or on a public data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pyhybrid.checks import count
from pyhybrid.data import splits, synthetic
from pyhybrid.data.readers import open_folder
from pyhybrid.data.tables import write_parquet
from pyhybrid.evaluation import compare, tune
from pyhybrid.models.esler import ESLER
from pyhybrid.models.popularity import Popularity
from pyhybrid.storage import require_free

if TYPE_CHECKING:
    import os

    from pyhybrid.data.catalog import Catalog
    from pyhybrid.data.held_out import Split
    from pyhybrid.evaluation import Report

__all__ = ["run"]

_METRICS = ("ndcg@100", "recall@20")
_TUNED_ITEMS = 8000  # a solve of so many items takes seconds; of more, one fixed l2 must do
_GRID = {"l2": [20.0, 50.0, 100.0, 200.0, 500.0, 1000.0]}


def run(
    data: str | os.PathLike[str] | None, out: str | os.PathLike[str], *, n: int = 10, seed: int = 0
) -> Report:
    """Read, split, fit popularity and ESLER, evaluate, write recommendations; say what is done.

    Args:
        data: A folder that `readers.open_folder` knows; None: `synthetic.topics`.
        out: A folder for ``recommendations.parquet`` and ``model``; earlier ones are replaced.
        n: Items a user.
        seed: Of the data and the split.

    Returns:
        The report that was printed.
    """
    out = Path(out)
    n = count("demo", "n", n)
    require_free(out / "model")
    split, catalog, source = _read(data, seed)
    print(f"data   {source}\nsplit  {split}")

    esler = ESLER()
    if split.validation is not None and split.train.n_items <= _TUNED_ITEMS:
        tuning = tune(esler, _GRID, split, "ndcg@100", catalog=catalog, progress=True)
        print(f"\nl2 chosen on the validation users:\n{tuning}")
        esler = tuning.model
    popularity = Popularity().fit(split.train, catalog)
    esler.fit(split.train, catalog, progress=True)
    report = compare([popularity, esler], split.test, _METRICS)
    print(f"\n{report}")
    if not (esler.item_counts > 0).all():
        print("Neither of the two can rank cold items; joint counts those targets as misses.")

    out.mkdir(parents=True, exist_ok=True)
    esler.save(out / "model")
    ranking = esler.recommend(split.test.histories, n, exclude_seen=split.test.exclude_seen)
    target = out / "recommendations.parquet"
    write_parquet(ranking.to_arrow(), target)
    print(
        f"\nwrote  {target}: top {n} of {len(ranking)} users"
        f"\nwrote  {out / 'model'}"
        "\ntry    pyhybrid split --help        your own events: split, fit, recommend, evaluate"
        "\n       pyhybrid demo --data FOLDER  a public data set, such as MovieLens"
    )
    return report


def _read(data: str | os.PathLike[str] | None, seed: int) -> tuple[Split, Catalog | None, str]:
    if data is None:
        interactions, catalog = synthetic.topics(seed=seed)
        split = splits.cold_items(splits.strong(interactions, seed=seed), share=0.1, seed=seed)
        return split, catalog, f"made up: {interactions}"
    folder = open_folder(data)
    source = f"{folder.name}: {folder.interactions}"
    if folder.split is not None:
        return folder.split, folder.catalog, f"{source}, with its published split"
    return splits.strong(folder.interactions, seed=seed), folder.catalog, source
