"""New items among known ones, from their first day to their hundredth interaction, and the price.

    python bench/cold_items.py [--runs build/runs/cold_items] [--cases NAME ...] [--seeds 10 11]

A case is a data set, a way to hold out, and what the texts are. By hidden items: for each seed
users are held out with a fifth of their items as targets, and a share of the items is hidden from
training but for k interactions of each, for several k; new and known items are targets in the same
share, and what a user took besides is not ranked. By time: the latest tenth of the events is held
out, and new is what came in it. S is NDCG@10 of known targets with all items ranked, U of new ones,
joint of both; area is that under the curve of S and U (`pyhybrid.evaluation.curve`). Users
without a history are left out: what they get is no question of these arms.

Every arm is tuned the same way, on the training part alone: on items hidden once more from it at
the same share, or on its own latest tenth, by the joint figure, from a grid that includes by what
new columns are multiplied. "ESLER with texts" has its defaults: of it, l2 alone is chosen, as of
every other arm. At k > 0 an arm keeps what was chosen without interactions. What is found for a
seed is kept under --runs; interrupted, the script goes on where it was.
"""

from __future__ import annotations

import argparse
import io
import itertools
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from results import once, write_result

from pyhybrid import ESLER, Catalog, Interactions, kernels
from pyhybrid.data import HeldOut, splits
from pyhybrid.data.readers import open_folder
from pyhybrid.data.text_files import read_json_lines
from pyhybrid.evaluation import Tradeoff, tradeoff
from pyhybrid.models.item_texts import item_texts, text_vectors
from pyhybrid.ranking import Ranking

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from pyhybrid import Split

    Weights = NDArray[np.float32]

N, METRIC = 10, "ndcg@10"
AGES = (0, 1, 5, 20, 50, 100, None)
SEEDS = (10, 11, 12, 13, 14)
MINILM, BOTH = ("all-MiniLM-L6-v2",), ("all-MiniLM-L6-v2", "tfidf")
DRAWS = 2000
USERS = 2000  # that a part is rated by at most


@dataclass(frozen=True)
class Case:
    """Say what is measured on what.

    Attributes:
        data: A folder of the shared data.
        share: Of the items that are hidden; None: by time.
        encoders: What encodes the texts.
        fields: Further fields of the catalogue that are read.
        seeds: How many.
        least: The training users that a hidden item has at least.
        ages: Whether items of all ages are looked at, or those without interactions alone.
        l2: The grid of every arm.
    """

    data: str
    share: float | None = 0.2
    encoders: tuple[str, ...] = BOTH
    fields: tuple[str, ...] = ()
    seeds: int = 5
    least: int = 20
    ages: bool = True
    l2: tuple[float, ...] = (300.0, 500.0)


CASES = {
    "ml-1m": Case("ml-1m"),
    "ml-1m, descriptions": Case("ml-1m", fields=("description",), seeds=3),
    "ml-1m, 5 %": Case("ml-1m", share=0.05, seeds=3, ages=False),
    "ml-1m, tf-idf": Case("ml-1m", encoders=("tfidf",), seeds=3),
    "ml-1m, MiniLM": Case("ml-1m", encoders=MINILM, seeds=3),
    "ml-1m by time": Case("ml-1m timed", share=None, seeds=1, ages=False),
    "latest-small by time": Case(
        "ml-latest-small", share=None, encoders=("tfidf",), seeds=1, ages=False, l2=(100.0, 300.0)
    ),
    "instruments by time": Case(
        "amazon-musical-instruments-5core",
        share=None,
        encoders=("tfidf",),
        seeds=1,
        ages=False,
        l2=(20.0, 100.0),
    ),
    "lastfm": Case(
        "lastfm-hetrec/colakg", encoders=("tfidf",), seeds=3, least=5, l2=(100.0, 300.0)
    ),
    "book-crossing": Case(
        "book-crossing", encoders=("tfidf",), seeds=1, least=5, ages=False, l2=(100.0, 300.0)
    ),
    "goodreads": Case(
        "goodreads-once", encoders=("tfidf",), seeds=1, least=5, ages=False, l2=(5.0, 20.0)
    ),
}


class Problem:
    """Hold what the arms share: train, who is ranked for, the Gram matrix and the texts."""

    def __init__(self, split: Split, catalog: Catalog, case: Case, part: HeldOut) -> None:
        self.train, self.catalog, self.case = split.train, catalog, case
        self.new = split.new_columns()
        rows = np.flatnonzero(np.diff(part.histories.matrix.indptr))  # others get what is popular
        rows = np.sort(np.random.default_rng(0).permutation(rows)[:USERS])
        self.histories = part.histories.select_users(rows)
        self.targets = part.targets.select_users(rows)
        self.unranked = part.taken_but_targets().select_users(rows).matrix
        self.gram = kernels.gram(self.train.matrix)
        columns = item_texts("bench", catalog, self.train.item_ids, case.fields)
        known = self.train.item_counts() > 0
        self.vectors = text_vectors(list(case.encoders), columns, known, seed=0)


def ease(gram: Weights, l2: float) -> Weights:
    return kernels.esler_weights(gram.copy(), l2)


def esler(problem: Problem, *, l2: float) -> Weights:
    return ease(problem.gram, l2)


def completed(problem: Problem, *, l2: float) -> Weights:
    case = problem.case
    model = ESLER(l2=l2, text=list(case.encoders), augmentations=list(case.fields))
    model.fit(problem.train, problem.catalog)
    found = np.zeros_like(problem.gram)
    found[np.searchsorted(model.rankable, model.learned)] = model.weights
    return found


def cosine(problem: Problem) -> Weights:
    v = problem.vectors
    return v @ v.T


def ridge(problem: Problem, *, l2: float, ridge: float) -> Weights:
    """Predict the columns of items without interactions by a ridge regression on text vectors."""
    v, found = problem.vectors.astype(np.float64), ease(problem.gram, l2)
    none = problem.train.item_counts() == 0
    known = v[~none]
    solved = np.linalg.solve(known.T @ known + ridge * np.eye(v.shape[1]), v[none].T)
    a = (known @ solved).astype(np.float32)
    found[np.ix_(~none, none)] = found[np.ix_(~none, ~none)] @ a
    return found


def l3ae(problem: Problem, *, l2: float, prior: float, l_f: float) -> Weights:
    """L3AE as its authors have it: EASE over the embeddings, distilled into EASE."""
    c = ease(problem.vectors @ problem.vectors.T, l_f)
    p = np.empty(len(c), dtype=np.float32)
    b = kernels.esler_weights(problem.gram.copy(), l2 + prior, inverse_diagonal=p)
    found = (np.eye(len(b), dtype=np.float32) - b) @ (p[:, None] * c) * np.float32(prior)
    found = found + b * (1 + np.diag(found))
    np.fill_diagonal(found, 0)
    return found


def addease(problem: Problem, *, l2: float, l_f: float, share: float) -> Weights:
    """Add EASE over the embeddings to EASE over behaviour."""
    v = problem.vectors
    return (1 - share) * ease(problem.gram, l2) + share * ease(v @ v.T, l_f)


def fusion(problem: Problem, *, l2: float, share: float) -> Weights:
    """Add the scores of text alone to those of ESLER, each over its mean size."""
    one, other = ease(problem.gram, l2), cosine(problem)
    np.fill_diagonal(other, 0)
    return one / np.abs(one).mean() + np.float32(share) * other / np.abs(other).mean()


# For each arm: what gives its weights, and its grid beside l2.
ARMS: dict[str, tuple[Callable[..., Weights], dict[str, list[Any]]]] = {
    "ESLER": (esler, {}),
    "text alone": (cosine, {}),
    "ridge to the columns": (ridge, {"ridge": [0.1, 0.5, 2.0]}),
    "L3AE": (l3ae, {"prior": [100.0, 500.0], "l_f": [1.0, 10.0]}),
    "addEASE": (addease, {"l_f": [1.0, 10.0], "share": [0.1, 0.3, 0.5]}),
    "late fusion": (fusion, {"share": [0.03, 0.1, 0.3]}),
    "ESLER with texts": (completed, {}),
}
OURS = "ESLER with texts"


def curve(problem: Problem, weights: Weights) -> tuple[Tradeoff, Ranking, Ranking]:
    """Rank known and new items apart, which gives the figures at every factor."""
    histories, targets = problem.histories.matrix, problem.targets
    rankings = []
    for kept in (~problem.new, problem.new):
        items, scores = kernels.top_n(
            histories,
            np.ascontiguousarray(weights),
            N,
            exclude=problem.unranked,
            among=np.flatnonzero(kept).astype(np.int32),
        )
        none = np.zeros(len(items), dtype=np.bool_)
        rankings.append(Ranking(items, scores, targets.user_ids, targets.item_ids, none))
    found = tradeoff(rankings[0], rankings[1], targets, problem.new, N, by="factor")
    return found, rankings[0], rankings[1]


def settings_of(name: str, case: Case) -> Iterator[dict[str, Any]]:
    grid = {} if name == "text alone" else {"l2": list(case.l2)}
    grid |= ARMS[name][1]
    return (dict(zip(grid, v, strict=True)) for v in itertools.product(*grid.values()))


def tuned(name: str, inner: Problem) -> tuple[dict[str, Any], float]:
    """Choose an arm's settings, and what its new columns are multiplied by: of ours nothing."""
    found = []
    for params in settings_of(name, inner.case):
        trial = curve(inner, ARMS[name][0](inner, **params))[0]
        factor, joint = trial.best
        if name in (OURS, "ESLER"):
            factor, joint = 1.0, trial.as_scored[2]
        found.append((joint, params, factor))
    _, params, factor = max(found, key=lambda row: row[0])
    return params, factor


def rated(problem: Problem, weights: Weights, factor: float) -> dict[str, Any]:
    """Return the figures as a running system has them, the area, and each user's."""
    found, _, _ = curve(problem, weights)
    known, new, joint, share = found.at(factor)
    columns = np.where(problem.new, np.float32(max(factor, 1e-30)), np.float32(1))
    items, _ = kernels.top_n(
        problem.histories.matrix,
        np.ascontiguousarray(weights * columns),
        N,
        exclude=problem.unranked,
    )
    users = {}
    for side, kept in (("joint", None), ("S", ~problem.new), ("U", problem.new)):
        wanted = problem.targets
        if kept is not None:
            wanted = wanted.keep_pairs(kept[wanted.matrix.indices])
        rows = kernels.ranking_metrics(items, wanted.matrix, [METRIC])[METRIC]
        users[side] = np.nan_to_num(rows, nan=-1.0).round(6).tolist()
    figures = {"S": known, "U": new, "joint": joint, "share": share, "area": found.area}
    return {**figures, "best joint": found.best[1], "users": users}


def opened(data: str) -> tuple[Interactions, Catalog]:
    """Read a data set; ML-1M's users 1 to 2,999, whose times are known, as "ml-1m timed"."""
    root = Path(__file__).parents[2] / "shared/data"
    if data == "ml-1m timed":
        with timed(root / "ml-1m") as folder:
            found = open_folder(folder)
    elif data in OWN:
        return OWN[data](root / data)
    else:
        found = open_folder(root / data)
    interactions = found.interactions
    return interactions, found.catalog.select(interactions.item_ids)


@contextmanager
def timed(folder: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as scratch:
        for file in folder.iterdir():
            if file.name.startswith(("ratings_first", "movies.dat")):
                name = file.name.replace("ratings_first487650", "ratings")
                shutil.copy(file, Path(scratch) / name)
        yield Path(scratch)


def instruments(folder: Path) -> tuple[Interactions, Catalog]:
    """Read reviews: an item's text is what its reviewers wrote above them, but for the last tenth.

    What is written in the last tenth, which is held out, would tell of new items by their buyers.
    """
    rows = read_json_lines(folder / "reviews.jsonl.zst")
    rows.sort(key=lambda row: row["unixReviewTime"])
    users, items, times = ([row[key] for row in rows] for key in ("user", "asin", "unixReviewTime"))
    interactions = Interactions.from_columns(users, items, times=times)
    texts: dict[str, list[str]] = {}
    for row in rows[: len(rows) * 9 // 10]:
        texts.setdefault(row["asin"], []).append(row["summary"] or "")
    titles = [" ".join(texts.get(item, [])[:10]) for item in interactions.item_ids.tolist()]
    return interactions, Catalog.from_columns(interactions.item_ids, title=titles)


def books(folder: Path) -> tuple[Interactions, Catalog]:
    """Read who had which book in hand, and the books' titles, authors and publishers."""
    with pa.CompressedInputStream(str(folder / "book_history.dat.zst"), "zstd") as stream:
        pairs = np.loadtxt(io.TextIOWrapper(stream), dtype=np.int64, skiprows=1)
    interactions = Interactions.from_columns(pairs[:, 0], pairs[:, 1])
    with pa.CompressedInputStream(str(folder / "items_info.dat.zst"), "zstd") as stream:
        lines = io.TextIOWrapper(stream, encoding="latin-1").read().splitlines()[1:]
    cells = {int(line.split("\t")[0]): line.split("\t") for line in lines if line[:1].isdigit()}
    ids = [item for item in interactions.item_ids.tolist() if item in cells]
    interactions = interactions.with_items(np.array(ids), unknown="drop")
    title, author = ([cells[item][place] for item in ids] for place in (2, 3))
    return interactions, Catalog.from_columns(ids, title=title, author=author)


OWN: dict[str, Callable[[Path], tuple[Interactions, Catalog]]] = {
    "amazon-musical-instruments-5core": instruments,
    "book-crossing": books,
}


def one_seed(interactions: Interactions, catalog: Catalog, case: Case, seed: int) -> dict[str, Any]:
    """Tune every arm once and rate it at every age."""
    if case.share is None:
        by_age = {"0": splits.by_time(interactions, validation=0)}
        inside = splits.by_time(by_age["0"].train, validation=0)
    else:
        number = min(1000, interactions.n_users // 5)
        whole = splits.strong(interactions, validation=0, test=number, seed=seed)
        hide = {"share": case.share, "min_count": case.least, "seed": seed}
        ages = AGES if case.ages else (0,)
        by_age = {str(age): splits.cold_items(whole, keep=age, **hide) for age in ages}
        train = by_age["0"].train
        known = train.with_items(train.item_ids[train.item_counts() > 0])
        inside = splits.strong(known, validation=0, test=number, seed=seed)
        inside = splits.cold_items(inside, **hide)
    inner = Problem(inside, catalog.select(inside.train.item_ids), case, inside.test)
    chosen = {name: tuned(name, inner) for name in ARMS}
    found: dict[str, Any] = {
        "new": by_age["0"].new_shares()._asdict(),
        "chosen": {name: [params, factor] for name, (params, factor) in chosen.items()},
        "ages": {},
    }
    for age, split in by_age.items():
        outer = Problem(split, catalog.select(split.train.item_ids), case, split.test)
        rows = {}
        for name, (params, factor) in chosen.items():
            rows[name] = rated(outer, ARMS[name][0](outer, **params), factor)
            told = {k: round(v, 4) for k, v in rows[name].items() if k != "users"}
            print(seed, age, name, told, params, round(factor, 3), flush=True)
        found["ages"][age] = rows
    return found


def interval(gaps: list[NDArray[np.float64]]) -> list[float]:
    """Bootstrap over splits and the users within: the mean difference and its 95 % interval."""
    rng = np.random.default_rng(0)
    means = []
    for _ in range(DRAWS):
        drawn = rng.integers(0, len(gaps), len(gaps))
        means.append(np.mean([rng.choice(gaps[k], len(gaps[k])).mean() for k in drawn]))
    low, high = np.quantile(means, [0.025, 0.975])
    return [float(np.mean([gap.mean() for gap in gaps])), float(low), float(high)]


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Average the seeds, and set ours beside each arm, user by user."""
    found: dict[str, Any] = {"new": runs[0]["new"], "chosen": [r["chosen"] for r in runs]}
    for age in runs[0]["ages"]:
        rows = [run["ages"][age] for run in runs]
        found[age] = {}
        for name in ARMS:
            sides = [key for key in rows[0][name] if key != "users"]
            figures: dict[str, Any] = {
                side: {
                    "mean": float(np.mean([row[name][side] for row in rows])),
                    "seeds": [row[name][side] for row in rows],
                }
                for side in sides
            }
            for side in ("joint", "S", "U"):
                pairs = [
                    [np.array(row[one]["users"][side]) for one in (OURS, name)] for row in rows
                ]
                gaps = [(one - other)[one >= 0] for one, other in pairs]
                if name != OURS and all(len(gap) for gap in gaps):
                    figures[side]["ours over it"] = interval(gaps)
            found[age][name] = figures
    return found


def main(runs: Path, cases: list[str], seeds: list[int]) -> None:
    results: dict[str, Any] = {}
    for name in CASES:
        case = CASES[name]
        folder = runs / name.replace(" ", "_").replace("%", "percent").replace(",", "")
        found = []
        data: tuple[Interactions, Catalog] | None = None
        for seed in seeds[: case.seeds]:
            path = folder / f"{seed}.json"
            if name not in cases and not path.exists():
                continue
            if data is None and not path.exists():
                data = opened(case.data)
            settings = {"seed": seed, "case": repr(case)}
            found.append(
                once(
                    path,
                    settings,
                    lambda data=data, seed=seed, case=case: one_seed(*data, case, seed),
                )
            )
        if found:
            results[name] = {"case": repr(case), "seeds": len(found), **summary(found)}
            write_result("cold_items", {"cases": results})


if __name__ == "__main__":
    root = Path(__file__).parents[1]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, default=root / "build/runs/cold_items")
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    given = parser.parse_args()
    main(given.runs, given.cases, given.seeds)
