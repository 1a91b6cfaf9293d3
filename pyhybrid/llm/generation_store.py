"""CachedGenerator: ask each prompt once, in all calls of all processes; its file of answers."""

from __future__ import annotations

import hashlib
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from pyhybrid.errors import describe
from pyhybrid.llm.generators import Generation
from pyhybrid.progress import progress_bar
from pyhybrid.text.cache import Cache, cache_folder
from pyhybrid.text.database import CacheFile
from pyhybrid.text.encoders import checked_texts

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping, Sequence

    from pyhybrid.llm.generators import TextGenerator
    from pyhybrid.progress import Progress

__all__ = ["CachedGenerator", "GenerationStore"]

_WHO = "CachedGenerator"
_APPLICATION, _FORMAT = 0x7079676E, 1  # "pygn"
_READ_AT_ONCE = 500  # prompts; a statement of SQLite takes 999 parameters for certain
_TABLES = (
    "CREATE TABLE IF NOT EXISTS generations (key BLOB PRIMARY KEY, generator TEXT NOT NULL,"
    " version TEXT NOT NULL, prompt TEXT NOT NULL, text TEXT NOT NULL, refused INTEGER NOT NULL,"
    " prompt_tokens INTEGER, completion_tokens INTEGER)",
)


class CachedGenerator:
    """Keep every answer of any generator on disk, so that no prompt is ever asked twice.

    An answer is known by the generator's name, the prompts' version and the prompt's text. It is
    written as it comes in, also one that is empty or refused: a run that is killed or stopped by
    Ctrl-C goes on from there, and only requests under way are asked again.

    Attributes:
        generator: Whose answers they are.
        calls: The number of prompts that it has really answered through this object.
        prompt_tokens: Their length in tokens, as far as it is known.
        completion_tokens: That of their answers.

    >>> import tempfile
    >>> from pyhybrid.llm import CallableGenerator
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     generator = CachedGenerator(CallableGenerator(str.upper, "capitals"), folder)
    ...     first = generator.generate(["heat", "up", "heat"])
    ...     again = generator.generate(["up"])
    ...     [answer.text for answer in first + again], generator.calls
    (['HEAT', 'UP', 'HEAT', 'UP'], 2)
    """

    def __init__(self, generator: TextGenerator, cache: Cache = True) -> None:
        """Wrap a generator.

        Args:
            generator: Any generator of texts.
            cache: The folder of ``generations.sqlite``; True: ``~/.cache/pyhybrid/text`` (under
                XDG_CACHE_HOME, if set); None or False: none, and each call asks anew.
        """
        self.generator = generator
        self.cache = None if cache is None or cache is False else cache_folder(_WHO, cache)
        self.calls = self.prompt_tokens = self.completion_tokens = 0

    @property
    def name(self) -> str:
        """The generator's own name, as the answers are its."""
        return self.generator.name

    def __repr__(self) -> str:
        tokens = f"{self.prompt_tokens} + {self.completion_tokens} tokens"
        return f"{_WHO}({self.name}: {self.calls} calls, {tokens})"

    def generate(
        self, prompts: Sequence[str], *, version: str = "", progress: Progress = False
    ) -> list[Generation]:
        """Return the prompts' answers in their order, those that are known from disk.

        Args:
            prompts: Any number of them; each distinct one is asked once.
            version: Of the prompts: answers under another version are not used.
            progress: True for a bar, or a callable that is handed the share done, from any thread.

        Raises:
            OSError: If the cache can't be read or written.
            TypeError: If `prompts` is no list of str, or an answer is no `Generation`.
            ValueError: If the cache is damaged, or the generator gives too many or few answers.
        """
        checked = checked_texts(_WHO, prompts)
        distinct = list(dict.fromkeys(checked))
        store = None
        found: dict[str, Generation] = {}
        if self.cache is not None:
            store = GenerationStore(_WHO, self.cache, self.name, version)
            found = store.read(distinct)
        missing = [prompt for prompt in distinct if prompt not in found]
        if missing:
            with progress_bar("generating", progress) as report:
                keeper = _Keeper(self, missing, found, store, report)
                answers = self.generator.generate(missing, keep=keeper)
                if len(answers) != len(missing):
                    expected = f"{len(missing)}, one a prompt"
                    raise ValueError(describe(_WHO, "number of answers", len(answers), expected))
                late = {
                    place: answer
                    for place, answer in enumerate(answers)
                    if missing[place] not in found
                }
                keeper(late)  # of a generator that does not hand them on one by one
        return [found[prompt] for prompt in checked]


class _Keeper:
    """Take answers from any thread, count them and write them.

    A thread comes back when its answers are on disk. While one of them writes, the others' answers
    gather and are written together, since a disk takes as long for one as for many.
    """

    def __init__(
        self,
        owner: CachedGenerator,
        prompts: list[str],
        found: dict[str, Generation],
        store: GenerationStore | None,
        report: Callable[[float], object] | None,
    ) -> None:
        self.owner, self.prompts, self.found = owner, prompts, found
        self.store, self.report = store, report
        self.waiting: dict[str, Generation] = {}
        self.known = len(found)
        self.gathering, self.writing = Lock(), Lock()

    def __call__(self, answers: Mapping[int, Generation]) -> None:
        for answer in answers.values():
            if not isinstance(answer, Generation):
                raise TypeError(describe(_WHO, "an answer", repr(answer)[:60], "a Generation"))
        with self.gathering:
            self.waiting |= {self.prompts[place]: answer for place, answer in answers.items()}
        with self.writing:
            with self.gathering:
                batch, self.waiting = self.waiting, {}
            if batch:
                self._write(batch)

    def _write(self, batch: dict[str, Generation]) -> None:
        self.owner.calls += len(batch)
        for answer in batch.values():
            self.owner.prompt_tokens += answer.prompt_tokens or 0
            self.owner.completion_tokens += answer.completion_tokens or 0
        self.found |= batch if self.store is None else self.store.write(batch)
        if self.report is not None:
            self.report(len(self.found) / (self.known + len(self.prompts)))


class GenerationStore:
    """Keep generators' answers in a folder's file, under name, version and prompt.

    Attributes:
        path: The file; it need not exist yet.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = GenerationStore("generate", folder, "qwen3", "1")
    ...     _ = store.write({"Tags?": Generation("crime")})
    ...     store.read(["Tags?", "Summary?"])["Tags?"].text
    'crime'
    """

    def __init__(self, who: str, folder: str | Path, name: str, version: str) -> None:
        self.who, self.name, self.version = who, name, version
        self.path = Path(folder) / "generations.sqlite"
        self._file = CacheFile(who, self.path, "a cache of texts", _APPLICATION, _FORMAT, _TABLES)

    def read(self, prompts: Sequence[str]) -> dict[str, Generation]:
        """Return the answers of those prompts that have one.

        Raises:
            OSError: If the file can't be read.
            ValueError: If it is damaged, of a newer format, or of something else.
        """
        if not self.path.exists():
            return {}
        with self._file.open() as connection:
            return self._read(connection, prompts)

    def write(self, answers: Mapping[str, Generation]) -> dict[str, Generation]:
        """Add answers, all or none, and return what is there now: an earlier answer stays.

        Raises:
            OSError: If the file can't be written.
            ValueError: As `read`.
        """
        rows = [
            (
                self._key(prompt),
                *(self.name, self.version, prompt),
                *(answer.text, answer.refused, answer.prompt_tokens, answer.completion_tokens),
            )
            for prompt, answer in answers.items()
        ]
        with self._file.open() as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(
                "INSERT OR IGNORE INTO generations VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows
            )
            return self._read(connection, list(answers))

    def _read(
        self, connection: sqlite3.Connection, prompts: Sequence[str]
    ) -> dict[str, Generation]:
        found: dict[str, Generation] = {}
        for start in range(0, len(prompts), _READ_AT_ONCE):
            prompt_of = {self._key(p): p for p in prompts[start : start + _READ_AT_ONCE]}
            marks = ",".join("?" * len(prompt_of))
            query = (
                "SELECT key, text, refused, prompt_tokens, completion_tokens"  # noqa: S608
                f" FROM generations WHERE key IN ({marks})"
            )
            for key, text, refused, asked, answered in connection.execute(query, list(prompt_of)):
                found[prompt_of[key]] = Generation(text, bool(refused), asked, answered)
        return found

    def _key(self, prompt: str) -> bytes:
        return hashlib.sha256(f"{self.name}\0{self.version}\0{prompt}".encode()).digest()
