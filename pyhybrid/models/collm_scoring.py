"""Scores of many prompts of CoLLM: like lengths together, or all of one user after one prefix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from pyhybrid.models.collm_prompts import about_item, about_user, prompts_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from pyhybrid.models.collm_network import CoLLMNetwork

__all__ = ["score_after_users", "score_prompts"]

_SCORED = 256  # prompts at once


def score_prompts(
    network: CoLLMNetwork,
    liked: Sequence[Sequence[str]],
    titles: Sequence[str],
    vectors: NDArray[np.float32] | None,
) -> NDArray[np.float32]:
    """Score whole prompts, those of like lengths together: float32 (prompts,).

    Args:
        network: In evaluation mode.
        liked: What each prompt's user liked.
        titles: The items.
        vectors: float32 (prompts, 2, dim), of users and items; None for prompts without slots.
    """
    scores = np.empty(len(titles), dtype=np.float32)
    sizes = [len(title) + sum(map(len, some)) for title, some in zip(titles, liked, strict=True)]
    order = np.argsort(-np.array(sizes), kind="stable")
    for first in range(0, len(order), _SCORED):
        rows = order[first : first + _SCORED]
        own = [liked[row] for row in rows], [titles[row] for row in rows]
        batch = network.backbone.encode(prompts_of(*own, network.slots))
        part = None if vectors is None else _there(network, vectors[rows])
        with torch.inference_mode():
            scores[rows] = network(batch, part).float().cpu().numpy()
    return scores


def score_after_users(
    network: CoLLMNetwork,
    liked: Sequence[Sequence[str]],
    users: NDArray[np.float32] | None,
    rows: NDArray[np.int64],
    titles: Sequence[str],
    items: NDArray[np.float32] | None,
) -> NDArray[np.float32]:
    """Score pairs by a causal model that reads what it knows of a user once: float32 (pairs,).

    Args:
        network: In evaluation mode.
        liked: What each user liked.
        users: float32 (users, dim), or None for prompts without slots.
        rows: int64 (pairs,), the pairs' users, ascending.
        titles: The pairs' items.
        items: float32 (pairs, dim), or None.
    """
    backbone, slots = network.backbone, network.slots
    scores = np.empty(len(rows), dtype=np.float32)
    bounds = np.searchsorted(rows, np.arange(len(liked) + 1))
    for user in np.flatnonzero(np.diff(bounds)).tolist():
        pairs = slice(bounds[user], bounds[user + 1])
        endings = [about_item(title, slots) for title in titles[pairs]]
        room = int(backbone.encode(endings).mask.sum(1).max())
        soft = (
            None if users is None else network.soft_tokens(_there(network, users[None, [user]]), 0)
        )
        prefix = backbone.prefix(about_user(liked[user], slots), soft, room=room)
        found = []
        for first in range(0, len(endings), _SCORED):
            batch = backbone.encode(endings[first : first + _SCORED], after=prefix)
            part = None
            if items is not None:
                own = items[pairs][first : first + _SCORED, None]
                part = network.soft_tokens(_there(network, own), side=1)
            found.append(network.scores(backbone.yes_no_after(prefix, batch, part)))
        scores[pairs] = torch.cat(found).float().cpu().numpy()
    return scores


def _there(network: CoLLMNetwork, array: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(network.backbone.device)
