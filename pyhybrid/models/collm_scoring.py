"""Scores of many prompts of CoLLM: like lengths together, or all of one user after one prefix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from pyhybrid.models.collm_prompts import about_item, about_user, prompts_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from pyhybrid.llm.prompts import Prompt
    from pyhybrid.llm.tokens import Prefix, TokenBatch
    from pyhybrid.models.collm_network import CoLLMNetwork

__all__ = ["score_pairs", "score_prompts"]

_SCORED = 256  # prompts at once
_SCORED_ON_CPU = 32  # after one prefix
_TOKENS = 1 << 14  # of prompts at once, a prefix counted for each


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
        for start, stop in _parts(batch):
            part = None if vectors is None else _there(network, vectors[rows[start:stop]])
            with torch.inference_mode():
                found = network(batch.part(start, stop), part)
            scores[rows[start:stop]] = found.float().cpu().numpy()
    return scores


def score_pairs(
    network: CoLLMNetwork,
    liked: Sequence[Sequence[str]],
    users: NDArray[np.float32] | None,
    rows: NDArray[np.int64],
    titles: Sequence[str],
    items: NDArray[np.float32] | None,
) -> NDArray[np.float32]:
    """Score pairs of a user and an item: float32 (pairs,).

    A causal model reads what it knows of a user once, if what it remembers can be shared.

    Args:
        network: In evaluation mode.
        liked: What each user liked.
        users: float32 (users, dim), or None for prompts without slots.
        rows: int64 (pairs,), the pairs' users, ascending.
        titles: The pairs' items.
        items: float32 (pairs, dim), or None.
    """
    if network.backbone.shares_prefixes:
        return _score_after_users(network, liked, users, rows, titles, items)
    vectors = None
    if users is not None and items is not None:
        vectors = np.stack([users[rows], items], axis=1)
    return score_prompts(network, [liked[row] for row in rows], titles, vectors)


def _score_after_users(
    network: CoLLMNetwork,
    liked: Sequence[Sequence[str]],
    users: NDArray[np.float32] | None,
    rows: NDArray[np.int64],
    titles: Sequence[str],
    items: NDArray[np.float32] | None,
) -> NDArray[np.float32]:
    backbone, slots = network.backbone, network.slots
    scores = np.empty(len(rows), dtype=np.float32)
    bounds = np.searchsorted(rows, np.arange(len(liked) + 1))
    for user in np.flatnonzero(np.diff(bounds)).tolist():
        pairs = np.arange(bounds[user], bounds[user + 1])
        endings = [about_item(titles[pair], slots) for pair in pairs]
        about, soft = about_user(liked[user], slots), None
        if users is not None:
            soft = network.soft_tokens(_there(network, users[None, [user]]), side=0)
        room = int(backbone.encode(endings).mask.sum(1).max())
        prefix = backbone.prefix(about, soft, room=room)
        if prefix.row.prompt.titles == about.titles:
            scores[pairs] = _after(network, prefix, endings, items, pairs)
            continue
        # A prompt loses as many titles as alone, however long the other endings are.
        lengths = backbone.encode(endings, after=prefix).mask.sum(1).cpu().numpy()
        for length in np.unique(lengths).tolist():
            same = np.flatnonzero(lengths == length)
            prefix = backbone.prefix(about, soft, room=length)
            own = [endings[place] for place in same]
            scores[pairs[same]] = _after(network, prefix, own, items, pairs[same])
    return scores


def _after(
    network: CoLLMNetwork,
    prefix: Prefix,
    endings: Sequence[Prompt],
    items: NDArray[np.float32] | None,
    pairs: NDArray[np.int64],
) -> NDArray[np.float32]:
    """Score endings of one prefix, of the items of some pairs: float32 (endings,).

    On a CPU a batch takes the time of its tokens, padding too, so that small ones of like lengths
    are best; on a GPU few large ones.
    """
    backbone = network.backbone
    size = _SCORED_ON_CPU if backbone.device.type == "cpu" else _SCORED
    scores = np.empty(len(endings), dtype=np.float32)
    order = np.argsort([len("".join(ending.texts)) for ending in endings], kind="stable")
    for first in range(0, len(order), size):
        part = order[first : first + size]
        batch = backbone.encode([endings[place] for place in part], after=prefix)
        for start, stop in _parts(batch):
            own, soft = part[start:stop], None
            if items is not None:
                soft = network.soft_tokens(_there(network, items[pairs[own], None]), side=1)
            yes_no = backbone.yes_no_after(prefix, batch.part(start, stop), soft)
            scores[own] = network.scores(yes_no).float().cpu().numpy()
    return scores


def _parts(batch: TokenBatch) -> Iterator[tuple[int, int]]:
    """Part a batch where its tokens are too many to be read at once."""
    size = max(1, _TOKENS // (batch.start + batch.ids.shape[1]))
    for start in range(0, len(batch), size):
        yield start, min(start + size, len(batch))


def _there(network: CoLLMNetwork, array: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(network.backbone.device)
