"""Draw NDCG@10 of the joint ranking by how often the target item was seen in training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyhybrid.jobs.comparison_page.numbers import bucket_name, buckets, decimal, number
from pyhybrid.jobs.comparison_page.series import Text, series

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["frequency"]


def frequency(models: Mapping[str, Mapping[str, Any]]) -> str:
    """Draw a line a model over the ranges of training counts; empty where there is no figure."""
    among = buckets(models.values(), "by_frequency")
    told = [bucket_name(bucket, among) for bucket in among]
    said = Text(
        name="frequency",
        title="NDCG@10 of the joint ranking by how often the target item was seen in training",
        up="NDCG@10, joint ranking",
        across="training interactions of the target",
        places=[name.replace("over ", ">") for name in told],
        told=told,
        missing="no target",
    )
    lines = {
        name: [number(model, "by_frequency", bucket, "ndcg@10") for bucket in among]
        for name, model in models.items()
    }
    return series(said, lines, list(models), decimal)
