"""Rate models on held-out users, and choose their hyper-parameters there."""

from __future__ import annotations

from pyhybrid.evaluation.curve import Tradeoff, tradeoff
from pyhybrid.evaluation.lives import Life, Worth, life, worth
from pyhybrid.evaluation.rating import (
    CANDIDATES,
    METRICS,
    Figure,
    Report,
    compare,
    evaluate,
    evaluate_ranking,
)
from pyhybrid.evaluation.tuning import Tuning, tune

__all__ = [
    "CANDIDATES",
    "METRICS",
    "Figure",
    "Life",
    "Report",
    "Tradeoff",
    "Tuning",
    "Worth",
    "compare",
    "evaluate",
    "evaluate_ranking",
    "life",
    "tradeoff",
    "tune",
    "worth",
]
