from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from tiny_models import saved_bert

from pyhybrid.data import splits, synthetic
from pyhybrid.jobs import comparing, roster
from pyhybrid.jobs.comparing import compare, table
from pyhybrid.jobs.costs import measured_cost

if TYPE_CHECKING:
    from pathlib import Path

    from pyhybrid import Interactions

FREE = ["popularity", "text", "esler", "esler+text"]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compare")


@pytest.fixture(scope="module")
def result(out: Path) -> dict[str, Any]:
    return compare(None, out, models=[*FREE, "p5"], quick=True, seed=3, command="pyhybrid compare")


def test_it_writes_what_it_found(out: Path, result: dict[str, Any]) -> None:
    assert sorted(path.name for path in out.iterdir()) == ["compare.html", "compare.json"]
    written = json.loads((out / "compare.json").read_text())
    assert written == result
    assert list(written["models"]) == [*FREE, "p5"]
    for name in FREE:
        row = written["models"][name]
        assert row["joint"]["ndcg@10"] > 0
        assert row["seconds"]["fit"] >= 0
        assert row["model_bytes"] > 0
    page = (out / "compare.html").read_text()
    for name in result["models"]:
        assert name in page


def test_text_is_kept_beside_behaviour(result: dict[str, Any]) -> None:
    models = result["models"]
    assert models["esler+text"]["kept"]["known"] > 0.97
    assert models["esler+text"]["kept"]["new"] > 1
    assert models["esler"]["tradeoff"] is models["esler"]["cold"] is None
    assert models["esler"]["new"]["ndcg@10"] == 0
    assert result["users"]["new"] <= result["users"]["joint"]
    shares = result["new_shares"]
    assert 0 < shares["items"] < 1
    assert abs(shares["targets"] - shares["events"]) < 0.1


def test_the_life_of_an_item_is_told(tmp_path: Path) -> None:
    found = compare(None, tmp_path, models=FREE, quick=True, seed=3, life=2)
    assert found["life"] == {"splits": 2, "against": "esler"}
    models = found["models"]
    assert models["popularity"]["life"] is None
    for name in ("text", "esler", "esler+text"):
        told = models[name]["life"]
        assert told["interactions"] == [0, 1, 5, 20, 50, 100, None]
        assert len(told["area"]) == 7
    assert models["esler"]["life"]["area"][0] == 0
    assert models["esler"]["life"]["worth"] is None
    assert models["esler+text"]["life"]["worth"]["interactions"] > 0
    assert json.loads((tmp_path / "compare.json").read_text()) == found
    with pytest.raises(ValueError, match=r"^compare: life is 1; expected 0 with a published"):
        compare(None, tmp_path, models=FREE, quick=True, by="time", life=1)


def test_a_comparison_by_time_has_its_own_new_items(tmp_path: Path) -> None:
    found = compare(None, tmp_path, models=["popularity", "esler"], quick=True, by="time")
    assert "hidden" not in found["split"]
    with pytest.raises(ValueError, match=r"^compare: by is 'day'; expected 'hidden' or 'time'"):
        compare(None, tmp_path, models=["esler"], by="day")


def test_a_model_that_cannot_be_fitted_says_why(
    out: Path, result: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert result["models"]["p5"] == {"skipped": "p5 is no part of the comparison yet"}

    def needs_torch(*_: Any, **__: Any) -> Any:
        raise ImportError('MultVAE needs torch; pip install "pyhybrid[torch]"')

    monkeypatch.setattr(roster, "fitted", needs_torch)
    found = compare(None, tmp_path, models=["multvae"], seed=3)
    assert found["models"] == {
        "multvae": {"skipped": 'MultVAE needs torch; pip install "pyhybrid[torch]"'}
    }
    assert "needs torch" in table(found)
    assert "needs torch" in (tmp_path / "compare.html").read_text()


def test_what_was_found_before_an_interruption_stays(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fit = roster.fitted

    def stopped(name: str, *args: Any, **more: Any) -> Any:
        if name == "esler":
            raise KeyboardInterrupt
        return fit(name, *args, **more)

    monkeypatch.setattr(roster, "fitted", stopped)
    with pytest.raises(KeyboardInterrupt):
        compare(None, tmp_path, models=["popularity", "esler"], quick=True)
    assert list(json.loads((tmp_path / "compare.json").read_text())["models"]) == ["popularity"]


@pytest.mark.parametrize("quick", [True, False])
def test_a_language_model_that_ranks_candidates_anew_is_compared(
    quick: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for needed in ("torch", "transformers", "peft"):
        pytest.importorskip(needed)
    interactions, catalog = synthetic.topics(users=60, items=30, events_per_user=8.0)
    split = splits.cold_items(splits.strong(interactions, test=0.2), share=0.1)
    small = {"llm": saved_bert(tmp_path / "bert"), "titles": 2, "max_rows": 40, "top": 5}
    small |= {"text_epochs": 2, "mapper_epochs": 1, "collaborative": "ESLERFactors"}
    for settings in (roster._SETTINGS, roster._QUICK):
        monkeypatch.setitem(settings, "collm", small)
    model = roster.fitted("collm", split, catalog, quick=quick)
    assert [model.candidates, model.top] == ["ESLER", 5]
    assert model.candidate_params == {"text": "tfidf", "augmentations": [], "seed": 0}
    rated = [epoch.metric for epochs in model.stages_run.values() for epoch in epochs]
    assert len(rated) == 3
    assert all((metric is None) == quick for metric in rated)
    measured = comparing.comparison.measure(model, split.test, name="collm")
    assert measured.report.figures


def test_rows_to_stop_by_are_validation_targets_and_items_neither_seen_nor_wanted() -> None:
    interactions, _ = synthetic.topics(users=80, items=40, events_per_user=10.0)
    split = splits.cold_items(splits.strong(interactions, validation=0.3), share=0.2)
    rows = roster._asked(split, 0)["validation"]
    part = split.validation
    assert set(rows.user_ids) == set(part.targets.user_ids)
    assert not set(rows.item_ids) & set(split.new_items)
    known = set(rows.item_ids)

    def pairs(some: Interactions) -> set[tuple[str, str]]:
        table = some.to_arrow().to_pydict()
        both = zip(table["user_id"], table["item_id"], strict=True)
        return {pair for pair in both if pair[1] in known}

    asked = list(zip(rows.user_ids[rows.users], rows.item_ids[rows.items], strict=True))
    liked = {pair for pair, label in zip(asked, rows.labels, strict=True) if label}
    assert liked == pairs(part.targets)
    assert not (set(asked) - liked) & (pairs(part.histories) | pairs(part.targets))
    assert rows.labels.mean() == 0.5
    assert len(roster._asked(split, 0)["validation"]) <= roster._VALIDATION_ROWS
    assert roster._asked(replace(split, validation=None), 0) == {}


def test_a_language_model_that_is_not_here_is_skipped(tmp_path: Path) -> None:
    for needed in ("torch", "transformers", "peft"):
        pytest.importorskip(needed)
    found = compare(None, tmp_path, models=["collm"], text=str(tmp_path / "none"), quick=True)
    assert str(tmp_path / "none") in found["models"]["collm"]["skipped"]


def test_the_table_has_a_line_a_model(result: dict[str, Any]) -> None:
    lines = table(result).splitlines()
    assert [line.split()[0] for line in lines[1:-1]] == [*FREE, "p5"]
    assert f"{result['models']['esler']['joint']['ndcg@10']:.4f}" in lines[3]
    assert "esler" in lines[-1]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["esler", "magic"], r"^compare: models is 'magic'; expected some of popularity, "),
        ([], r"^compare: models is none; expected some of"),
        (["esler", "esler"], r"^compare: models is 'esler' twice; expected each once"),
    ],
)
def test_names_are_checked_before_anything_is_read(
    names: list[str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        compare(tmp_path / "nowhere", tmp_path / "out", models=names)
    assert not (tmp_path / "out").exists()


def test_peak_memory_is_that_of_the_work_inside() -> None:
    with measured_cost() as cost:
        size = len(bytearray(150_000_000))
    if cost["memory_bytes"] is None:
        pytest.skip("this system doesn't tell")
    assert 0.8 * size < cost["memory_bytes"] < 1.5 * size
