"""OpenAIGenerator: texts from a server that speaks OpenAI's chat completions."""

from __future__ import annotations

import json
import os
import zlib
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from importlib.util import find_spec
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from pyhybrid.checks import count, not_negative, positive
from pyhybrid.errors import describe
from pyhybrid.llm.generators import Generation, name_of, whole_text
from pyhybrid.text.encoders import checked_texts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pyhybrid.llm.generators import Keep

__all__ = ["OpenAIGenerator"]

_WHO = "OpenAIGenerator"


class OpenAIGenerator:
    """Answer prompts by a server that speaks OpenAI's chat completions.

    Such are OpenAI's own, vLLM, Ollama and llama.cpp. Several requests run at a time. One that
    meets a full or failing server (429, 5xx), a lost connection, a timeout or a damaged answer is
    tried again, after the time that the server asks for (``Retry-After``) or else after a wait
    that doubles. What a server refuses by its content filter is a refusal; any other error ends
    the call, after the answers that are under way.

    Where the server is does not enter the name: keep servers that serve different weights under
    one model name in caches of their own.

    Attributes:
        name: The model and the settings that change its texts.

    Raises:
        ImportError: Without openai.

    >>> generator = OpenAIGenerator("qwen3", base_url="http://localhost:11434/v1")  # doctest: +SKIP
    >>> generator.generate(["Name a heist film."])[0].text  # doctest: +SKIP
    'Heat'
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        temperature: float | None = 0.0,
        max_tokens: int | None = 256,
        seed: int | None = 0,
        system: str | None = None,
        extra: Mapping[str, Any] | None = None,
        concurrency: int = 8,
        timeout: float = 120.0,
        retries: int = 6,
        backoff: float = 0.5,
    ) -> None:
        """Say what to ask and how.

        Args:
            model: The model's name on the server.
            base_url: Such as ``http://localhost:8000/v1``; None: OPENAI_BASE_URL, or else OpenAI.
            api_key: None: OPENAI_API_KEY; a server named by `base_url` may need none.
            temperature: 0 for the likeliest text; None leaves it to the server.
            max_tokens: An answer's length at most; None leaves it to the server.
            seed: Of the server's sampling, where it has one; None leaves it out.
            system: A system message that stands before each prompt.
            extra: Further fields of the request, such as ``{"top_p": 0.9}``.
            concurrency: Requests at a time.
            timeout: Seconds to wait for the server to send something.
            retries: How often a request is tried again.
            backoff: Seconds before the first of these tries.
        """
        self.model = name_of(_WHO, "model", model)
        self.base_url = None if base_url is None else name_of(_WHO, "base_url", base_url)
        if temperature is not None:
            temperature = not_negative(_WHO, "temperature", temperature)
        if max_tokens is not None:
            max_tokens = count(_WHO, "max_tokens", max_tokens)
        if seed is not None:
            seed = count(_WHO, "seed", seed, least=0)
        settings = {"temperature": temperature, "max_tokens": max_tokens, "seed": seed}
        self._settings = {what: value for what, value in settings.items() if value is not None}
        self.system, self.extra = system, dict(extra or {})
        self.concurrency = count(_WHO, "concurrency", concurrency)
        self.timeout = positive(_WHO, "timeout", timeout)
        self.retries = count(_WHO, "retries", retries, least=0)
        self.backoff = positive(_WHO, "backoff", backoff)
        if find_spec("openai") is None:
            raise ImportError(f'{_WHO} needs openai; pip install "pyhybrid[llm]"')
        key_is_known = api_key is not None or "OPENAI_API_KEY" in os.environ
        # The client wants a key even for a server that does not.
        self._api_key = api_key if key_is_known or base_url is None else "none"

    @property
    def name(self) -> str:
        """The model and the settings that change its texts."""
        settings = [f"{what}={value}" for what, value in self._settings.items()]
        further = {"system": self.system, **self.extra}
        if self.system is not None or self.extra:
            settings.append(json.dumps(further, sort_keys=True, ensure_ascii=False, default=str))
        return " ".join([self.model, *settings])

    def __repr__(self) -> str:
        return f"{_WHO}({self.name})"

    def generate(self, prompts: Sequence[str], *, keep: Keep | None = None) -> list[Generation]:
        """Return the prompts' answers in their order.

        Raises:
            RuntimeError: If the server answers a request with an error, or never well enough.
            TypeError: If `prompts` is no list of str.
        """
        checked = checked_texts(_WHO, prompts)
        self._client  # noqa: B018  made before the threads need it
        return _in_threads(self._answer, checked, self.concurrency, keep)

    @cached_property
    def _client(self) -> Any:
        import openai

        try:
            return openai.OpenAI(
                base_url=self.base_url,
                api_key=self._api_key,
                timeout=self.timeout,
                max_retries=0,  # a damaged answer would not be tried again, nor a wait be cut short
            )
        except openai.OpenAIError as error:
            expected, way_out = "a key", "pass it, or set OPENAI_API_KEY"
            raise ValueError(describe(_WHO, "api_key", None, expected, way_out)) from error

    def _answer(self, prompt: str, stopped: Event) -> Generation:
        messages = [{"role": "user", "content": prompt}]
        if self.system is not None:
            messages.insert(0, {"role": "system", "content": self.system})
        tries = 0
        while True:
            tries += 1
            try:
                return _generation(
                    self._client.chat.completions.create(
                        model=self.model,
                        messages=messages,
                        extra_body=self.extra or None,
                        **self._settings,
                    )
                )
            except Exception as error:  # sorted out by _pause
                if getattr(error, "code", None) == "content_filter":
                    return Generation("", refused=True)
                pause = _pause(error, self.backoff * 2.0 ** (tries - 1) * _spread(prompt))
                if pause is None or tries > self.retries or stopped.wait(pause):
                    raise self._failed(error, tries) from error

    def _failed(self, error: Exception, tries: int) -> RuntimeError:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        times = "once" if tries == 1 else f"{tries} times"
        return RuntimeError(
            describe(
                _WHO,
                f"the answer of {self._client.base_url} for model {self.model!r}, asked {times},",
                reason,
                "a chat completion",
                "answers in a cache are kept, and a second run asks for the others only",
            )
        )


_LONGEST_PAUSE = 600.0  # seconds; a server that asks for more has no room today
_LONGEST_BACKOFF = 60.0


def _spread(prompt: str) -> float:
    """Give each prompt its own factor, 1 to 1.5, so that requests don't come back all at once."""
    return 1 + zlib.crc32(prompt.encode()) / 2**33


def _pause(error: Exception, backoff: float) -> float | None:
    """Return how many seconds to wait before the next try, None where it would be no use."""
    import openai

    pause = min(backoff, _LONGEST_BACKOFF)
    if isinstance(error, openai.APIStatusError):
        status = error.status_code
        used_up = getattr(error, "code", None) == "insufficient_quota"
        if used_up or not (status in (408, 409, 429) or status >= 500):
            return None
        asked = _retry_after(error.response.headers.get("retry-after", ""))
        pause = pause if asked is None else asked
        return pause if pause <= _LONGEST_PAUSE else None
    # ValueError: no JSON, or JSON that is no completion
    return pause if isinstance(error, openai.APIConnectionError | ValueError) else None


def _retry_after(header: str) -> float | None:
    """Read the header's two forms, seconds and a date, as seconds from now.

    >>> _retry_after("2.5"), _retry_after("Wed, 21 Oct 2015 07:28:00 GMT"), _retry_after("soon")
    (2.5, 0.0, None)
    """
    with suppress(ValueError):
        return max(float(header), 0.0)
    with suppress(ValueError):
        date = parsedate_to_datetime(header)
        date = date if date.tzinfo else date.replace(tzinfo=UTC)
        return max((date - datetime.now(UTC)).total_seconds(), 0.0)
    return None


def _generation(completion: Any) -> Generation:
    """Take the client's answer apart; it is not checked against any schema by the client."""
    choices = getattr(completion, "choices", None) or [None]
    message = getattr(choices[0], "message", None)
    content = getattr(message, "content", None)
    if message is None or not isinstance(content, str | None):
        found = " ".join(repr(completion).split())[:200]
        raise ValueError(f"no completion but {found}")
    filtered = getattr(choices[0], "finish_reason", None) == "content_filter"
    usage = getattr(completion, "usage", None)
    return Generation(
        whole_text(content or ""),
        bool(getattr(message, "refusal", None)) or filtered,
        getattr(usage, "prompt_tokens", None),
        getattr(usage, "completion_tokens", None),
    )


def _in_threads(
    answer: Callable[[str, Event], Generation],
    prompts: Sequence[str],
    threads: int,
    keep: Keep | None,
) -> list[Generation]:
    """Answer prompts in several threads, each of which hands on its answers itself.

    The threads are daemons, so that Ctrl-C need not wait for a server. Where the process lives on,
    the requests under way then end as they would, and their answers are kept.
    """
    answers: dict[int, Generation] = {}
    waiting: SimpleQueue[int] = SimpleQueue()
    for place in range(len(prompts)):
        waiting.put(place)
    ended: SimpleQueue[BaseException | None] = SimpleQueue()
    stopped = Event()

    def work() -> None:
        with suppress(Empty):
            while not stopped.is_set():
                place = waiting.get_nowait()
                try:
                    answers[place] = answer(prompts[place], stopped)
                    if keep is not None:
                        keep({place: answers[place]})
                except BaseException as error:  # raised again where it is waited for
                    ended.put(error)
                    return
                ended.put(None)

    workers = [Thread(target=work, daemon=True) for _ in range(min(threads, len(prompts)))]
    failed: BaseException | None = None
    try:
        for worker in workers:
            worker.start()
        outcomes = (ended.get() for _ in prompts)
        failed = next((outcome for outcome in outcomes if outcome is not None), None)
    finally:
        stopped.set()
    if failed is not None:
        for worker in workers:  # what they have asked for is paid for
            worker.join()
        raise failed
    return [answers[place] for place in range(len(prompts))]
