"""What the tests of CoLLM share: rows of labels with a rule behind them, titles, small models."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from pyhybrid import Catalog, CoLLM
from pyhybrid.data import Feedback
from pyhybrid.pointwise import rate

USERS, ITEMS = 24, 16
PART: dict[str, Any] = {
    "dim": 4,
    "l2": 0.01,
    "lr": 0.05,
    "batch_size": 200,
    "epochs": 20,
    "device": "cpu",
}
SMALL: dict[str, Any] = {
    "collaborative_params": PART,
    "candidates": "Popularity",
    "titles": 2,
    "text_epochs": 1,
    "mapper_epochs": 1,
    "text_lr": 0.02,
    "mapper_lr": 0.02,
    "batch_size": 50,
    "device": "cpu",
}
KINDS = ("Llama", "BERT")
NOISE = PART | {"epochs": 1, "lr": 1e-12}  # factors stay as they were drawn
SHALLOW: dict[str, Any] = {"epochs": 3, "batch_size": 50, "device": "cpu"}
PARTS: dict[str, dict[str, Any]] = {
    "MF": {"dim": 4, **SHALLOW},
    "LightGCN": {"dim": 4, **SHALLOW},
    "SASRec": {"dim": 4, "layers": 1, "heads": 1, "max_length": 6, **SHALLOW},
    "ESLERFactors": {"rank": 4, "l2": 1.0},
    "MultVAE": {"hidden_dim": 0, "latent_dim": 4, **SHALLOW},
    "TextSimilarity": {"text": "tfidf"},  # one that reads the catalogue
}


def two_tastes(rows: int, seed: int = 0, earlier: Feedback | None = None) -> Feedback:
    """Even users like even items and odd users odd ones, whoever is asked about which."""
    random = np.random.default_rng(seed)
    users, items = random.integers(0, USERS, rows), random.integers(0, ITEMS, rows)
    return Feedback.from_columns(users, items, (users + items) % 2 == 0, earlier=earlier)


def good_items(rows: int, seed: int = 0, earlier: Feedback | None = None) -> Feedback:
    """Everybody likes even items, and no odd ones."""
    random = np.random.default_rng(seed)
    users, items = random.integers(0, USERS, rows), random.integers(0, ITEMS, rows)
    return Feedback.from_columns(users, items, items % 2 == 0, earlier=earlier)


def generous_users(rows: int, seed: int = 0, earlier: Feedback | None = None) -> Feedback:
    """Even users like everything, and odd ones nothing."""
    random = np.random.default_rng(seed)
    users, items = random.integers(0, USERS, rows), random.integers(0, ITEMS, rows)
    return Feedback.from_columns(users, items, users % 2 == 0, earlier=earlier)


def titled(*titles: str) -> Catalog:
    """Give the items the same few titles in turn."""
    return Catalog.from_columns(np.arange(ITEMS), title=[*titles] * (ITEMS // len(titles)))


CATALOG = Catalog.from_columns(np.arange(ITEMS), title=[f"Film {n}" for n in range(ITEMS)])
ALIKE = titled("Film")  # titles say nothing
TOLD = titled("good", "bad")  # titles tell even items from odd ones


def auc(model: CoLLM, rows: Feedback) -> float:
    return float(rate(rows, model.score_rows(rows))["auc"])


def renamed(rows: Feedback, shift: int) -> Feedback:
    """Give the rows to other users, with the same histories."""
    return replace(rows, likes=replace(rows.likes, user_ids=rows.user_ids + shift))
