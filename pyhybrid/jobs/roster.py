"""The models that `pyhybrid compare` knows by name, and how each is fitted there.

What is chosen is chosen on validation users, never on test.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from pyhybrid.data import Feedback
from pyhybrid.data.lately import NEWEST
from pyhybrid.errors import describe
from pyhybrid.evaluation import tune
from pyhybrid.models import ESLER, Popularity, TextSimilarity, model_class
from pyhybrid.models.collm_rows import some_rows
from pyhybrid.models.reranker import Reranker
from pyhybrid.models.torch_base import TorchRecommender

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyhybrid.data.catalog import Catalog
    from pyhybrid.data.held_out import Split
    from pyhybrid.models.base import Recommender

__all__ = ["BEHAVIOUR", "NAMES", "READERS", "TEXT", "fitted", "names_of", "refitted"]

BEHAVIOUR = ("esler", "multvae", "multdae", "sasrec")  # see no text
TEXT = ("text",)  # sees no behaviour
READERS = ("text", "esler+text", "vqrec", "llmrec", "collm")
NAMES = (
    "popularity",
    "lately",
    "text",
    "esler",
    "esler+text",
    "multvae",
    "multdae",
    "sasrec",
    "vqrec",
    "llmrec",
    "collm",
    "p5",
    "transrec",
    "recr1",
)
_TUNED_ITEMS = 8000  # a solve of so many items takes seconds; of more, one fixed l2 must do
_L2 = {"l2": [20.0, 50.0, 100.0, 200.0, 500.0, 1000.0]}
_CLASSES = {
    "multvae": "MultVAE",
    "multdae": "MultDAE",
    "sasrec": "SASRec",
    "vqrec": "VQRec",
    "llmrec": "LLMRec",
    "collm": "CoLLM",
}
# Beside each model's defaults. The authors' batches of 500 are for a hundred thousand users.
_SETTINGS: dict[str, dict[str, Any]] = {
    "multvae": {"hidden_dim": 0, "anneal_steps": 2000, "batch_size": 100},
    "multdae": {"batch_size": 100},
    "sasrec": {},
    "vqrec": {"dim": 64, "dropout": 0.3},
    "llmrec": {},
    "collm": {"collaborative": "ESLERFactors", "titles": 5, "max_tokens": 64, "max_rows": 20_000},
}
_QUICK: dict[str, dict[str, Any]] = {
    "multvae": {"epochs": 40},
    "multdae": {"epochs": 40},
    "sasrec": {"epochs": 10},
    "vqrec": {"epochs": 5},
    "llmrec": {"epochs": 2},
    "collm": {
        "titles": 3,
        "max_tokens": 48,
        "max_rows": 1000,
        "text_epochs": 1,
        "mapper_epochs": 1,
        "top": 10,
    },
}
_NO_LANGUAGE_MODEL = ("tfidf", "noise")  # what encodes texts, but can't be asked
_VALIDATION_ROWS = 2000  # a re-ranker is asked about rows, not about all items of each user


def names_of(who: str, names: Sequence[str] | None) -> list[str]:
    """Check names of models; None: all.

    Raises:
        ValueError: If one is unknown or there twice, or there is none.
    """
    chosen = list(NAMES if names is None else names)
    unknown = [name for name in chosen if name not in NAMES]
    if unknown or not chosen:
        value = repr(unknown[0]) if unknown else "none"
        raise ValueError(describe(who, "models", value, f"some of {', '.join(NAMES)}"))
    for name in chosen:
        if chosen.count(name) > 1:
            raise ValueError(describe(who, "models", f"{name!r} twice", "each once"))
    return chosen


def fitted(
    name: str,
    split: Split,
    catalog: Catalog | None,
    *,
    text: str = "tfidf",
    augmentations: Sequence[str] = (),
    quick: bool = False,
    seed: int = 0,
    progress: bool = False,
) -> Recommender:
    """Fit the model of that name on a split's train.

    Args:
        name: One of `NAMES`.
        split: Its validation users, where there are some, choose hyper-parameters and epochs.
        catalog: The items' texts, or None.
        text: What encodes texts where a model uses them, and what CoLLM asks, if it can be asked.
        augmentations: Further text fields of the catalogue, for the models that read several.
        quick: Few epochs and no search over hyper-parameters.
        seed: Of whatever the model draws.
        progress: Whether to show a bar.

    Raises:
        FileNotFoundError: If a language model is nowhere.
        ImportError: If the model needs an extra that isn't installed.
        NotImplementedError: If the model isn't part of the comparison yet.
        ValueError: If the model can't be fitted on these data, such as one that needs texts.
    """
    if name in ("popularity", "lately"):
        newest = NEWEST if name == "lately" else None
        return Popularity(newest=newest).fit(split.train, catalog)
    if name == "text":
        model = TextSimilarity(text=text, augmentations=augmentations, seed=seed)
        return model.fit(split.train, catalog, progress=progress)
    if name in ("esler", "esler+text"):
        texts = {"text": text, "augmentations": augmentations, "seed": seed}
        return _esler(split, catalog, {} if name == "esler" else texts, quick, progress)
    if name not in _CLASSES:
        raise NotImplementedError(f"{name} is no part of the comparison yet")
    params = {**_SETTINGS[name], **(_QUICK[name] if quick else {}), "seed": seed}
    stops: dict[str, Any] = {"validation": split.validation, "metric": "ndcg@10"}
    if name in ("vqrec", "llmrec"):
        params["text"] = text
    if name == "llmrec":
        params["augmentations"] = augmentations
    if name == "collm":
        params["candidate_params"] = {"text": text, "augmentations": augmentations, "seed": seed}
        if text not in _NO_LANGUAGE_MODEL:
            params["llm"] = text
        stops = {} if quick else _asked(split, seed)
    kind = cast("type[TorchRecommender]", model_class(_CLASSES[name]))
    return kind(**params).fit(split.train, catalog, **stops, progress=progress)


def _asked(split: Split, seed: int) -> dict[str, Any]:
    """Ask about some validation targets, and as many items neither seen nor wanted."""
    part = split.validation
    if part is None:
        return {}
    known = split.train.item_ids[split.train.item_counts() > 0]
    rows = Feedback.of_held_out(part.with_items(known, unknown="drop"), 1, seed)
    return {"validation": some_rows(rows, _VALIDATION_ROWS, seed), "metric": "auc"}


def _esler(
    split: Split, catalog: Catalog | None, texts: dict[str, Any], quick: bool, progress: bool
) -> Recommender:
    """Fit ESLER; its l2 is chosen on validation users, and by itself what texts do."""
    esler = ESLER()
    may_tune = not quick and split.train.n_items <= _TUNED_ITEMS
    if may_tune and split.validation is not None:
        esler = tune(esler, _L2, split, "ndcg@10", catalog=catalog, progress=progress).model
    return esler.with_params(**texts).fit(split.train, catalog, progress=progress)


def refitted(model: Recommender, split: Split, *, catalog: Catalog | None) -> Recommender:
    """Fit a model like a fitted one, with what was chosen for it, on another split's train."""
    again: Any = model.with_params()
    stops: dict[str, Any] = {}
    if isinstance(again, TorchRecommender) and not isinstance(again, Reranker):
        stops = {"validation": split.validation, "metric": "ndcg@10"}
    fitted: Recommender = again.fit(split.train, catalog, **stops)
    return fitted
