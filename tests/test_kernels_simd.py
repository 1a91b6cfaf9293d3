"""The kernels at each level of SIMD that this processor has: the same answers at all."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from scipy.sparse import csr_array, random_array

from pyhybrid import kernels

LEVELS = ("baseline", "avx2", "avx512")
ROWS, ITEMS, N = 150, 333, 20


def results():
    """Run every kernel on data of uneven sizes; lists, to go through JSON."""
    rng = np.random.default_rng(0)
    x = random_array((ROWS, ITEMS), density=0.05, format="csr", rng=rng, dtype=np.float32)
    x.data[:] = 1
    targets = csr_array(random_array((ROWS, ITEMS), density=0.02, format="csr", rng=rng))
    weights = rng.standard_normal((ITEMS, ITEMS), dtype=np.float32)
    users, items = (rng.standard_normal((k, 37), dtype=np.float32) for k in (ROWS, ITEMS))
    scores = x @ weights
    ranked = {
        "top_n": kernels.top_n(x, weights, N, exclude=x),
        "top_n_factors": kernels.top_n_factors(users, items, N, exclude=x),
        "top_n_scores": kernels.top_n_scores(scores, N, exclude=x),
    }
    gram = kernels.gram(x)
    metrics = kernels.score_metrics(scores, targets.astype(np.float32), ["ndcg@20"], exclude=x)
    return {
        "level": kernels.simd_level(),
        "gram": gram.tolist(),
        "weights": kernels.esler_weights(gram, 10.0).tolist(),
        "metrics": np.nan_to_num(metrics["ndcg@20"], nan=-1).tolist(),
        "items": {name: items.tolist() for name, (items, _) in ranked.items()},
        "scores": {name: scores.tolist() for name, (_, scores) in ranked.items()},
    }


def run(level):
    environment = os.environ | {"PYHYBRID_SIMD": level}
    command = [sys.executable, __file__]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def at():
    """The results at every level."""
    return {level: json.loads(run(level).stdout) for level in LEVELS}


@pytest.mark.parametrize("level", LEVELS)
def test_a_named_level_is_used_unless_the_processor_lacks_it(at, level):
    used = at[level]["level"]
    assert used in LEVELS[: LEVELS.index(level) + 1]
    assert used == min(level, at["avx512"]["level"], key=LEVELS.index)


@pytest.mark.parametrize("level", LEVELS)
def test_counts_and_metrics_are_the_same_at_every_level(at, level):
    for exact in ("gram", "weights", "metrics"):
        assert at[level][exact] == at["baseline"][exact]
    assert at[level]["items"]["top_n_scores"] == at["baseline"]["items"]["top_n_scores"]
    assert at[level]["scores"]["top_n_scores"] == at["baseline"]["scores"]["top_n_scores"]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("kernel", ["top_n", "top_n_factors"])
def test_scores_agree_between_levels_and_rankings_but_for_near_ties(at, level, kernel):
    scores, expected = (np.array(at[name]["scores"][kernel]) for name in (level, "baseline"))
    scale = np.abs(expected).max(axis=1, keepdims=True)
    assert (np.abs(scores - expected) <= 1e-5 * scale).all()
    items, others = (np.array(at[name]["items"][kernel]) for name in (level, "baseline"))
    near = np.abs(np.diff(expected, axis=1)) <= 2e-5 * scale
    tied = np.pad(near, ((0, 0), (1, 0))) | np.pad(near, ((0, 0), (0, 1)))
    assert ((items == others) | tied).all()


def test_an_unknown_level_is_refused_in_words():
    failed = run("sse9")
    assert failed.returncode != 0
    assert "ValueError: pyhybrid: PYHYBRID_SIMD is sse9; expected baseline, avx2" in failed.stderr


if __name__ == "__main__":
    print(json.dumps(results()))
