"""From prompts to batches of token ids.

Where a slot stands is recorded while the ids are put together, and never looked for in them. Texts
are read without the tokenizer's special tokens, which are added by their ids. So neither a slot nor
a special token can come out of a text, whatever stands in a title.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import numpy as np

from pyhybrid.errors import describe
from pyhybrid.llm.prompts import Prompt

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import torch
    from numpy.typing import NDArray
    from torch import Tensor

__all__ = ["Prefix", "PromptTokenizer", "TokenBatch", "TokenRow", "on_device"]

_KEPT = 1000  # ends of prompts


class TokenRow(NamedTuple):
    """Hold one prompt's token ids, the columns of its slots' vectors, and the prompt that fitted.

    The ids at a slot say nothing: vectors are put over what they stand for.
    """

    ids: list[int]
    slots: list[list[int]]
    prompt: Prompt


@dataclass(frozen=True, slots=True, eq=False)
class Prefix:
    """Hold the beginning of prompts as a causal model has read it.

    Attributes:
        row: Its tokens, and the prompt without the titles for which there was no room.
        cache: The keys and values in each layer of all prefixes that were read together; scoring
            leaves them as they are.
        place: Its row there.
        mask: int64 (length of the cache,), 1 for its tokens and 0 for the padding before them.
    """

    row: TokenRow
    cache: Any
    place: int
    mask: Tensor

    def __len__(self) -> int:
        return len(self.row.ids)


@dataclass(frozen=True, slots=True, eq=False)
class TokenBatch:
    """Hold a batch of prompts as a language model takes them.

    Attributes:
        ids: int64 (rows, length).
        mask: int64 (rows, length), 1 for a token and 0 for padding.
        positions: int64 (rows, length), a token's place in its prompt, a prefix counted too.
        slots: int64 (rows, slots, T), the columns of the slots' vectors in the prompt's order.
        names: The slots' names, the same ones in all rows.
        answers: int64 (rows, 2), the first token of yes and that of no; None where a layer of its
            own answers, or nothing is asked.
        start: The length of the prefix that the prompts go on from, 0 for whole prompts.
    """

    ids: Tensor
    mask: Tensor
    positions: Tensor
    slots: Tensor
    names: tuple[str, ...]
    answers: Tensor | None = None
    start: int = 0

    def __len__(self) -> int:
        return int(self.ids.shape[0])

    def part(self, start: int, stop: int) -> TokenBatch:
        """Take some rows, with the padding that they have."""
        fields = ("ids", "mask", "positions", "slots")
        taken: dict[str, Any] = {name: getattr(self, name)[start:stop] for name in fields}
        answers = None if self.answers is None else self.answers[start:stop]
        return replace(self, **taken, answers=answers)

    def of_last(self, states: Tensor) -> Tensor:
        """Take the states at the rows' last tokens: (rows, dim), of (rows, length, dim)."""
        import torch

        columns = torch.arange(self.mask.shape[1], device=self.mask.device)
        last = (self.mask * columns).argmax(1)
        return states[torch.arange(len(self), device=states.device), last]


class PromptTokenizer:
    """Turn prompts into token ids and batches of them.

    The special tokens are those that the tokenizer itself puts around a text. A causal model's
    prompts have only those before it, and are padded on the left; an encoder's on the right.

    Attributes:
        max_tokens: A prompt's length at most; histories lose titles until it fits.
        answers: What yes and no are, as a causal model's prompts go on; None for an encoder.

    Raises:
        ValueError: If the tokenizer reads a special token out of a text.
    """

    def __init__(
        self, who: str, tokenizer: Any, *, max_tokens: int, answers: tuple[str, str] | None
    ) -> None:
        if answers is not None and (len(answers) != 2 or not all(map(_is_text, answers))):
            raise TypeError(describe(who, "answers", repr(answers), "two texts, yes and no"))
        self.who, self._tokenizer = who, tokenizer
        self.max_tokens, self.answers = max_tokens, answers
        self._first, self._last = self._around()
        if answers is not None:
            self._last = []  # an end of text would stand before the answer
        self._fill: int = tokenizer.pad_token_id or 0
        self._answers_after: dict[str, tuple[int, int]] = {}
        self._check_special()

    def rows(
        self,
        prompts: Sequence[Prompt],
        rooms: Sequence[int] = (0,),
        *,
        before: TokenRow | None = None,
    ) -> list[TokenRow]:
        """Return the prompts' tokens.

        Args:
            prompts: Whole ones, with the special tokens added; or what follows `before`.
            rooms: How many tokens of `max_tokens` are left free in each; one number for all.
            before: A prefix. Its end and the prompts' beginnings have the tokens of the whole
                text, unless one of these tokens would stand on both sides.

        Raises:
            TypeError: If one is no prompt.
            ValueError: If a prompt is too long without any of its titles; or there are not as many
                rooms as prompts.
        """
        wrong = [prompt for prompt in prompts if not isinstance(prompt, Prompt)]
        if wrong:
            raise TypeError(describe(self.who, "a prompt", repr(wrong[0]), "a Prompt"))
        if len(rooms) not in (1, len(prompts)):
            expected = f"{len(prompts)}, one for each prompt"
            raise ValueError(describe(self.who, "the number of rooms", len(rooms), expected))
        taken = np.broadcast_to(rooms, len(prompts)) + (len(before.ids) if before else 0)
        limits = np.maximum(0, self.max_tokens - taken).tolist()
        rows = self._rows(prompts, before)
        long = [number for number, row in enumerate(rows) if len(row.ids) > limits[number]]
        if long:
            shortened = self._shortened(
                {number: prompts[number] for number in long}, limits, before
            )
            for number, row in shortened.items():
                rows[number] = row
        return rows

    def lengths(self, prompts: Sequence[Prompt]) -> NDArray[np.int64]:
        """Return how many tokens whole prompts have, were there room for all: int64 (prompts,)."""
        return np.array([len(row.ids) for row in self._rows(prompts, None)], dtype=np.int64)

    def batch(
        self, rows: Sequence[TokenRow], device: torch.device, *, start: int = 0, ask: bool = True
    ) -> TokenBatch:
        """Pad rows to one length.

        Args:
            rows: One or more.
            device: Where the tensors are put.
            start: The length of their prefix, if they have one. They are padded on the right then.
            ask: Whether a causal model's prompts are followed by an answer.

        Raises:
            ValueError: If there is no row, or they have different slots, or don't end in a text
                after which yes and no can be told by their first tokens.
        """
        names, tokens = self._slots_of(rows)
        longest = max(len(row.ids) for row in rows)
        ids = np.full((len(rows), longest), self._fill, np.int64)
        mask, positions = np.zeros_like(ids), np.zeros_like(ids)
        slots = np.empty((len(rows), len(names), tokens), np.int64)
        on_left = self.answers is not None and not start
        for number, row in enumerate(rows):
            skipped = longest - len(row.ids) if on_left else 0
            real = slice(skipped, skipped + len(row.ids))
            ids[number, real], mask[number, real] = row.ids, 1
            positions[number, real] = np.arange(start, start + len(row.ids))
            slots[number] = np.reshape(row.slots, slots.shape[1:])
            slots[number] += skipped
        given = {"ids": ids, "mask": mask, "positions": positions, "slots": slots}
        if ask and self.answers is not None:
            given["answers"] = np.array([self._answers(row.prompt) for row in rows], np.int64)
        tensors = {name: on_device(array, device) for name, array in given.items()}
        return TokenBatch(**tensors, names=names, start=start)

    def _rows(self, prompts: Sequence[Prompt], before: TokenRow | None) -> list[TokenRow]:
        split = [prompt.texts for prompt in prompts]
        end = before.prompt.texts[-1] if before else ""
        heads = {end + texts[0] for texts in split}
        ids = self._ids({*(text for texts in split for text in texts), end, *heads})
        rows = []
        for prompt, (head, *rest) in zip(prompts, split, strict=True):
            known, whole = ids[end], ids[end + head]
            row = [] if before else [*self._first]
            row += whole[len(known) :] if whole[: len(known)] == known else ids[head]
            slots = []
            for slot, text in zip(prompt.slots, rest, strict=True):
                slots.append(list(range(len(row), len(row) + slot.tokens)))
                row += [self._fill] * slot.tokens + ids[text]
            rows.append(TokenRow(row if before else row + self._last, slots, prompt))
        return rows

    def _shortened(
        self, prompts: dict[int, Prompt], limits: list[int], before: TokenRow | None
    ) -> dict[int, TokenRow]:
        """Leave out of each prompt the oldest titles, one or more, until it fits.

        By bisection for all prompts at once, as a tokenizer takes many texts in little more time
        than one.
        """

        def found(dropped: dict[int, int]) -> dict[int, TokenRow]:
            shorter = [prompts[number].without(count) for number, count in dropped.items()]
            return dict(zip(dropped, self._rows(shorter, before), strict=True))

        # What stands for no titles can be longer than one: all are left out only at the last.
        kept: dict[int, TokenRow] = {}
        most = {number: prompt.titles for number, prompt in prompts.items()}
        least = {number: min(1, titles) for number, titles in most.items()}
        while middle := {n: (least[n] + most[n]) // 2 for n in most if least[n] < most[n]}:
            for number, row in found(middle).items():
                if len(row.ids) > limits[number]:
                    least[number] = middle[number] + 1
                else:
                    most[number], kept[number] = middle[number], row
        for number, row in found({n: most[n] for n in most if n not in kept}).items():
            if len(row.ids) > limits[number]:
                self._refuse(number, row, limits[number], before)
            kept[number] = row
        return kept

    def _refuse(self, number: int, row: TokenRow, limit: int, before: TokenRow | None) -> NoReturn:
        what = f"the length of prompt {number} without the titles of its histories"
        way_out = "shorten its texts, or raise max_tokens="
        if before:
            way_out += ", or leave more room= in the prefix"
        found, expected = f"{len(row.ids)} tokens", f"{limit} or less"
        raise ValueError(describe(self.who, what, found, expected, way_out))

    def _slots_of(self, rows: Sequence[TokenRow]) -> tuple[tuple[str, ...], int]:
        """Return the names of the rows' slots, and of how many tokens each of them is."""
        if not rows:
            raise ValueError(describe(self.who, "the number of prompts", 0, "1 or more"))
        first = rows[0].prompt.slots
        for number, row in enumerate(rows):
            if row.prompt.slots != first:
                what, expected = f"the slots of prompt {number}", f"{first}, as in prompt 0"
                raise ValueError(describe(self.who, what, row.prompt.slots, expected))
        sizes = sorted({slot.tokens for slot in first})
        if len(sizes) > 1:
            what, expected = "the numbers of tokens of a prompt's slots", "one number for all"
            raise ValueError(describe(self.who, what, sizes, expected))
        return tuple(slot.name for slot in first), sizes[0] if sizes else 1

    def _answers(self, prompt: Prompt) -> tuple[int, int]:
        """Return the first tokens of yes and no after the prompt's last part.

        After that part alone, which a template's prompts share, so that they are found once.
        """
        end = prompt.parts[-1] if prompt.parts else ""
        if not isinstance(end, str) or not end:
            what, expected = "the last part of a prompt", "a text that asks for the answer"
            raise ValueError(describe(self.who, what, repr(end), expected))
        if end not in self._answers_after:
            first, second = (self._first_of(answer, end) for answer in self.answers or ())
            if first == second:
                what = f"the first token of {self.answers} after {end!r}"
                raise ValueError(describe(self.who, what, "the same", "two different ones"))
            if len(self._answers_after) >= _KEPT:  # ends that differ from prompt to prompt
                self._answers_after.clear()
            self._answers_after[end] = first, second
        return self._answers_after[end]

    def _first_of(self, answer: str, end: str) -> int:
        ids = self._ids({end, end + answer})
        known, whole = ids[end], ids[end + answer]
        if whole[: len(known)] != known or len(whole) == len(known):
            what, found = f"the answer {answer!r}", f"no token of its own after {end!r}"
            way_out = "let a space before it be the answer's, not the prompt's"
            raise ValueError(describe(self.who, what, found, "one or more", way_out))
        return whole[len(known)]

    def _ids(self, texts: Iterable[str]) -> dict[str, list[int]]:
        """Return the ids of distinct texts, in which no special token is read."""
        distinct = list(texts)
        if not distinct:
            return {}
        ids = self._tokenizer(
            distinct,
            add_special_tokens=False,
            split_special_tokens=True,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,  # a text that is too long is ours to shorten
        )["input_ids"]
        return dict(zip(distinct, ids, strict=True))

    def _around(self) -> tuple[list[int], list[int]]:
        """Return the special tokens that the tokenizer puts before and after a text."""
        inner, whole = self._ids({"a"})["a"], self._tokenizer("a")["input_ids"]
        for start in range(len(whole) - len(inner) + 1):
            if whole[start : start + len(inner)] == inner:
                return whole[:start], whole[start + len(inner) :]
        raise ValueError(
            describe(self.who, "the tokenizer's ids of 'a'", whole, f"{inner}, within special ones")
        )

    def _check_special(self) -> None:
        tokenizer = self._tokenizer
        special = {
            token.content: number
            for number, token in tokenizer.added_tokens_decoder.items()
            # The unknown token can be what a character of its own name is to the tokenizer.
            if token.special
            and (number != tokenizer.unk_token_id or number == tokenizer.eos_token_id)
        }
        for written, ids in self._ids(special).items():
            if special[written] in ids:
                what = f"what the tokenizer reads in the text {written!r}"
                expected = "plain text, so that no title can bring one in"
                way_out = "take a model with a fast tokenizer"
                raise ValueError(describe(self.who, what, "a special token", expected, way_out))


def on_device(array: NDArray[Any], device: torch.device) -> Tensor:
    """Return an array as a tensor on a device, without waiting for what a GPU still computes."""
    import torch

    tensor = torch.from_numpy(np.ascontiguousarray(array))
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)
