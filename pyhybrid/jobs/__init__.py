"""What a batch pipeline calls: split, fit, recommend and evaluate, from files to files."""

from __future__ import annotations

from pyhybrid.jobs.pipeline import evaluate, fit, recommend, split

__all__ = ["evaluate", "fit", "recommend", "split"]
