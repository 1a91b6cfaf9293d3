"""What a batch pipeline calls: split, fit, recommend and evaluate, from files to files."""

from __future__ import annotations

from pyhybrid.jobs.evaluation import evaluate
from pyhybrid.jobs.pipeline import recommend, split
from pyhybrid.jobs.training import fit

__all__ = ["evaluate", "fit", "recommend", "split"]
