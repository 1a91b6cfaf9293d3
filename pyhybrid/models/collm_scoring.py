"""Scores of many prompts of CoLLM: like lengths together, or all of one user after one prefix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from pyhybrid.llm.tokens import on_device
from pyhybrid.models.collm_prompts import about_item, about_user, prompts_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from pyhybrid.llm.backbone import Backbone
    from pyhybrid.llm.prompts import Prompt
    from pyhybrid.llm.tokens import Prefix, TokenBatch
    from pyhybrid.models.collm_network import CoLLMNetwork

__all__ = ["score_pairs", "score_prompts"]

_SCORED = 256  # prompts at once
_SCORED_ON_CPU = 32  # after one prefix
_TOKENS = 1 << 14  # of prompts at once, what a row holds of a prefix counted too


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
    found: list[Tensor] = []
    sizes = [len(title) + sum(map(len, some)) for title, some in zip(titles, liked, strict=True)]
    order = np.argsort(-np.array(sizes), kind="stable")
    for first in range(0, len(order), _SCORED):
        rows = order[first : first + _SCORED]
        own = [liked[row] for row in rows], [titles[row] for row in rows]
        batch = network.backbone.encode(prompts_of(*own, network.slots))
        for start, stop in _parts(batch):
            part = None if vectors is None else _there(network, vectors[rows[start:stop]])
            with torch.inference_mode():
                found.append(network(batch.part(start, stop), part))
    return _in_place(found, [order])


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
    bounds = np.searchsorted(rows, np.arange(len(liked) + 1))
    asking = np.flatnonzero(np.diff(bounds))
    lengths = np.array([sum(map(len, liked[user])) for user in asking.tolist()])
    asking = asking[np.argsort(-lengths, kind="stable")]  # little of a batch is padding
    size = 1 if _is_on_cpu(network) else max(1, _TOKENS // backbone.max_tokens)
    order: list[NDArray[np.int64]] = []
    found: list[Tensor] = []
    for first in range(0, len(asking), size):
        several = asking[first : first + size]
        about = [about_user(liked[user], slots) for user in several]
        pairs = [np.arange(bounds[user], bounds[user + 1]) for user in several]
        endings = [[about_item(titles[pair], slots) for pair in own] for own in pairs]
        soft = None
        if users is not None:
            soft = network.soft_tokens(_there(network, users[several, None]), side=0)
        rooms = [int(backbone.lengths(some).max()) for some in endings]
        for place, prefix in enumerate(backbone.prefixes(about, rooms, soft)):
            own_soft = None if soft is None else soft[place : place + 1]
            for one, some in _read_by(backbone, prefix, about[place], own_soft, endings[place]):
                asked, own = [endings[place][number] for number in some], pairs[place][some]
                for part, scores in _after(network, one, asked, items, own):
                    order.append(part)
                    found.append(scores)
    return _in_place(found, order)


def _read_by(
    backbone: Backbone, prefix: Prefix, about: Prompt, soft: Tensor | None, endings: list[Prompt]
) -> Iterator[tuple[Prefix, NDArray[np.int64]]]:
    """Give the prefixes that a user's endings go on from, and which endings go on from each.

    One for all; but where there is no room for all titles one for each length of an ending, as a
    prompt loses as many titles as alone, however long the other endings are.
    """
    if prefix.row.prompt.titles == about.titles:
        yield prefix, np.arange(len(endings))
        return
    lengths = backbone.encode(endings, after=prefix).mask.sum(1).cpu().numpy()
    for length in np.unique(lengths).tolist():
        yield backbone.prefix(about, soft, room=length), np.flatnonzero(lengths == length)


def _after(
    network: CoLLMNetwork,
    prefix: Prefix,
    endings: Sequence[Prompt],
    items: NDArray[np.float32] | None,
    pairs: NDArray[np.int64],
) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
    """Score endings of one prefix: give some of their pairs at a time, and these pairs' scores.

    On a CPU a batch takes the time of its tokens, padding too, so that small ones of like lengths
    are best; on a GPU few large ones.
    """
    backbone = network.backbone
    size = _SCORED_ON_CPU if _is_on_cpu(network) else _SCORED
    order = np.argsort([len("".join(ending.texts)) for ending in endings], kind="stable")
    for first in range(0, len(order), size):
        part = order[first : first + size]
        batch = backbone.encode([endings[place] for place in part], after=prefix)
        for start, stop in _parts(batch, before=len(prefix.mask)):
            own, soft = pairs[part[start:stop]], None
            if items is not None:
                soft = network.soft_tokens(_there(network, items[own, None]), side=1)
            yield own, network.scores(backbone.yes_no_after(prefix, batch.part(start, stop), soft))


def _parts(batch: TokenBatch, before: int = 0) -> Iterator[tuple[int, int]]:
    """Part a batch where its tokens, and `before` for each row, are too many to be read at once."""
    size = max(1, _TOKENS // (before + batch.ids.shape[1]))
    for start in range(0, len(batch), size):
        yield start, min(start + size, len(batch))


def _in_place(found: list[Tensor], order: list[NDArray[np.int64]]) -> NDArray[np.float32]:
    """Bring scores that were found in some order to their places: float32 (scores,).

    Only here are they waited for: a GPU computes while the next prompts are put together.
    """
    places = np.concatenate([np.empty(0, dtype=np.int64), *order])
    scores = np.empty(len(places), dtype=np.float32)
    if found:
        scores[places] = torch.cat(found).float().cpu().numpy()
    return scores


def _is_on_cpu(network: CoLLMNetwork) -> bool:
    return network.backbone.device.type == "cpu"


def _there(network: CoLLMNetwork, array: NDArray[np.float32]) -> Tensor:
    return on_device(array, network.backbone.device)
