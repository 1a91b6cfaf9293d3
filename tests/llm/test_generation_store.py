from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from pyhybrid.llm import CachedGenerator, CallableGenerator, Generation

if TYPE_CHECKING:
    from pathlib import Path

PROMPTS = [f"Tags for film {n}?" for n in range(20)] + ['{"a": 1}\n%s {0}', "Amélie 日本"]
CAPITALS = [prompt.upper() for prompt in PROMPTS]


def texts(answers: list[Generation]) -> list[str]:
    return [answer.text for answer in answers]


class Counted:
    """A generator that counts; `last` is the number of answers after which it fails."""

    def __init__(self, name: str = "capitals", last: int | None = None) -> None:
        self.asked: list[str] = []
        self.last = last
        self.generator = CallableGenerator(self.answer, name)
        self.name = name

    def answer(self, prompt: str) -> Generation:
        if len(self.asked) == self.last:
            raise RuntimeError("out of memory")
        self.asked.append(prompt)
        return Generation(prompt.upper(), prompt_tokens=10, completion_tokens=1)

    def generate(self, prompts, *, keep=None):
        return self.generator.generate(prompts, keep=keep)


def test_a_second_run_asks_nothing(tmp_path: Path) -> None:
    counted = Counted()
    first = CachedGenerator(counted, tmp_path)
    shares: list[float] = []
    doubled = [*PROMPTS, *PROMPTS[:5]]
    assert texts(first.generate(doubled, progress=shares.append)) == CAPITALS + CAPITALS[:5]
    assert counted.asked == PROMPTS  # each distinct one once
    assert (first.calls, first.prompt_tokens, first.completion_tokens) == (22, 220, 22)
    assert shares[-1] == 1.0
    assert shares == sorted(shares)
    again = Counted()
    second = CachedGenerator(again, tmp_path)
    answers = second.generate(PROMPTS[::-1])
    assert answers == [Generation(text, False, 10, 1) for text in CAPITALS[::-1]]
    assert (again.asked, second.calls, second.prompt_tokens) == ([], 0, 0)
    second.generate([*PROMPTS, "another"])
    assert again.asked == ["another"]


def test_empty_and_refused_answers_are_kept_too(tmp_path: Path) -> None:
    given = {"a": Generation("", refused=True), "b": Generation("")}
    CachedGenerator(CallableGenerator(given.get, "g"), tmp_path).generate(["a", "b"])
    again = CachedGenerator(CallableGenerator(lambda _: "other", "g"), tmp_path)
    assert again.generate(["a", "b"]) == [given["a"], given["b"]]


def test_another_name_or_version_asks_anew(tmp_path: Path) -> None:
    for name, version, calls in (("a", "", 1), ("b", "", 1), ("a", "2", 1), ("a", "", 0)):
        generator = CachedGenerator(Counted(name), tmp_path)
        generator.generate(["Heat"], version=version)
        assert generator.calls == calls
    assert [path.name for path in tmp_path.iterdir()] == ["generations.sqlite"]


def test_without_a_cache_nothing_is_written(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    generator = CachedGenerator(Counted(), None)
    assert texts(generator.generate(["a", "b", "a"])) == ["A", "B", "A"]
    assert generator.calls == 2
    assert list(tmp_path.iterdir()) == []
    CachedGenerator(Counted(), True).generate(["a"])
    assert (tmp_path / "pyhybrid" / "text" / "generations.sqlite").is_file()


def test_a_run_that_fails_goes_on_where_it_was(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="out of memory"):
        CachedGenerator(Counted(last=7), tmp_path).generate(PROMPTS)
    again = Counted()
    assert texts(CachedGenerator(again, tmp_path).generate(PROMPTS)) == CAPITALS
    assert again.asked == PROMPTS[7:]


def test_a_generator_that_hands_on_nothing_is_kept_at_the_end(tmp_path: Path) -> None:
    class Plain:
        name = "plain"

        def generate(self, prompts, *, keep=None):
            return [Generation(prompt.upper()) for prompt in prompts]

    assert texts(CachedGenerator(Plain(), tmp_path).generate(PROMPTS)) == CAPITALS
    again = CachedGenerator(Plain(), tmp_path)
    again.generate(PROMPTS)
    assert again.calls == 0


@pytest.mark.parametrize(
    ("answers", "error", "match"),
    [
        ([Generation("a")], ValueError, "number of answers is 1; expected 2, one a prompt"),
        (["a", "b"], TypeError, "an answer is 'a'; expected a Generation"),
    ],
)
def test_wrong_answers_are_refused(tmp_path: Path, answers, error, match) -> None:
    class Wrong:
        name = "wrong"

        def generate(self, prompts, *, keep=None):
            return answers

    with pytest.raises(error, match=match):
        CachedGenerator(Wrong(), tmp_path).generate(["a", "b"])


@pytest.mark.parametrize("damage", ["overwritten", "cut off", "another's", "newer"])
def test_a_file_that_is_of_no_use_is_named(tmp_path: Path, damage: str) -> None:
    CachedGenerator(Counted(), tmp_path).generate(PROMPTS)
    path = tmp_path / "generations.sqlite"
    if damage == "overwritten":
        path.write_bytes(b"no database at all" * 100)
    elif damage == "cut off":
        os.truncate(path, path.stat().st_size // 2)
    else:
        pragma = "application_id = 7" if damage == "another's" else "user_version = 99"
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(f"PRAGMA {pragma}")
    with pytest.raises(ValueError, match=r"delete it|install a newer pyhybrid") as raised:
        CachedGenerator(Counted(), tmp_path).generate(PROMPTS)
    assert str(path) in str(raised.value)


def test_two_runs_end_with_the_same_answers(tmp_path: Path) -> None:
    def late(prompt: str) -> str:  # another run has stored its answer meanwhile
        CachedGenerator(CallableGenerator(lambda _: "earlier", "g"), tmp_path).generate([prompt])
        return "later"

    run = CachedGenerator(CallableGenerator(late, "g"), tmp_path)
    assert texts(run.generate(["Heat"])) == ["earlier"]


# Processes that end in the middle:
PROCESS = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
import sys
from pyhybrid.llm import CachedGenerator, OpenAIGenerator
url, folder, prompts = sys.argv[1], sys.argv[2], sys.argv[3].split("|")
generator = CachedGenerator(OpenAIGenerator("tiny", base_url=url, concurrency=3), folder)
print("ready", flush=True)
try:
    answers = generator.generate(prompts)
except KeyboardInterrupt:
    print("stopped")
    sys.exit(3)
print([answer.text for answer in answers] == [prompt.upper() for prompt in prompts])
"""


def start(server, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROCESS, server.url, str(folder), "|".join(PROMPTS)]
    return subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def stored(folder: Path) -> set[str]:
    path = folder / "generations.sqlite"
    if not path.exists():
        return set()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return {prompt for (prompt,) in connection.execute("SELECT prompt FROM generations")}


def stop_in_the_middle(server, folder: Path, number: int) -> tuple[set[str], int, str]:
    """Stop a process when some answers are stored, while it waits for others that never come."""
    server.faults = {prompt: ["hang"] for prompt in PROMPTS[8:]}
    with start(server, folder) as process:
        deadline = time.monotonic() + 60
        # Three requests hang: all that was answered before is stored, or about to be.
        while server.at_once < 3 and time.monotonic() < deadline:
            time.sleep(0.02)
        while len(known := stored(folder)) < 8 and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(number)
        start_of_end = time.monotonic()
        out, err = process.communicate()
        assert time.monotonic() - start_of_end < 10, err
    server.released.set()
    server.faults = {}
    return known, process.returncode, out


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["killed", "Ctrl-C"])
def test_a_process_that_is_stopped_is_resumed(server, tmp_path: Path, number) -> None:
    known, code, out = stop_in_the_middle(server, tmp_path, number)
    if number == signal.SIGINT:
        assert (code, out.splitlines()[-1]) == (3, "stopped")
    else:
        assert code == -signal.SIGKILL
    assert known == stored(tmp_path) == set(PROMPTS[:8])  # none lost of those that had come
    before = server.asked
    with start(server, tmp_path) as process:
        out, err = process.communicate()
    assert out.splitlines()[-1] == "True", err
    again = server.asked - before
    assert again == dict.fromkeys(PROMPTS[8:], 1)  # none asked twice that was stored


@pytest.fixture
def ctrl_c_is_heard():
    """In a job in the background, too, which is begun with the signal ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c_is_heard")
def test_answers_under_way_at_ctrl_c_are_kept_where_the_process_lives_on(
    server, make, tmp_path: Path
) -> None:
    server.faults = {"Heat": ["hang"], "Up": ["hang"]}
    generator = CachedGenerator(make(concurrency=2), tmp_path)
    interrupt = threading.Thread(target=press_ctrl_c_when_two_wait, args=(server,))
    interrupt.start()
    with pytest.raises(KeyboardInterrupt):
        generator.generate(["Heat", "Up", "Ronin"])
    interrupt.join()
    server.released.set()
    deadline = time.monotonic() + 20
    while len(stored(tmp_path)) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert stored(tmp_path) == {"Heat", "Up"}
    assert server.asked == {"Heat": 1, "Up": 1}  # and nothing new is begun


def press_ctrl_c_when_two_wait(server) -> None:
    deadline = time.monotonic() + 20
    while server.at_once < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(os.getpid(), signal.SIGINT)


def test_processes_can_share_a_file(server, tmp_path: Path) -> None:
    server.seconds = 0.02
    processes = [start(server, tmp_path) for _ in range(3)]
    for process in processes:
        out, err = process.communicate()
        assert out.splitlines()[-1] == "True", err
    assert stored(tmp_path) == set(PROMPTS)
