from __future__ import annotations

import socket
import time

import pytest

from pyhybrid.llm import Generation, OpenAIGenerator

PROMPTS = [f"Tags for film {n}?" for n in range(20)] + ['{"a": 1}\n%s {0}', "Amélie 日本"]
CAPITALS = [prompt.upper() for prompt in PROMPTS]


def texts(answers: list[Generation]) -> list[str]:
    return [answer.text for answer in answers]


def test_a_server_answers_in_order_with_several_requests_at_a_time(server, make) -> None:
    server.seconds = 0.05
    answers = make(concurrency=4, system="Be short.", extra={"top_p": 0.9}).generate(PROMPTS)
    assert texts(answers) == CAPITALS
    assert (answers[0].prompt_tokens, answers[0].completion_tokens) == (7, 2)
    assert 1 < server.most_at_once <= 4
    assert set(server.asked.values()) == {1}
    request = server.requests[0]
    assert request["path"] == "/v1/chat/completions"
    assert request["key"] == "Bearer secret"
    assert request["messages"][0] == {"role": "system", "content": "Be short."}
    settings = {"model": "tiny", "temperature": 0.0, "max_tokens": 256, "seed": 0, "top_p": 0.9}
    assert {what: request[what] for what in settings} == settings


def test_settings_that_are_none_are_left_to_the_server(server, make) -> None:
    make(temperature=None, max_tokens=None, seed=None).generate(["Up"])
    assert set(server.requests[0]) == {"model", "messages", "path", "key"}


def test_what_a_server_does_for_a_while_is_tried_again(server, make) -> None:
    faults = ["429", "500", "503", "cut off", "html", "no choices", "408"]
    server.faults = {PROMPTS[0]: list(faults), **{PROMPTS[n]: [f] for n, f in enumerate(faults, 1)}}
    assert texts(make(retries=len(faults)).generate(PROMPTS)) == CAPITALS
    assert server.asked[PROMPTS[0]] == len(faults) + 1
    assert [server.asked[PROMPTS[n]] for n in range(1, len(faults) + 1)] == [2] * len(faults)


def test_the_wait_doubles_and_the_servers_own_wish_comes_first(server, make) -> None:
    server.faults = {"Up": ["500", "500", "500"], "Heat": ["429 after 0.7"]}
    generator = make(backoff=0.1)
    generator.generate(["Up"])
    first, second, third = (b - a for a, b in zip(server.times, server.times[1:], strict=False))
    assert 0.1 <= first < second < third
    assert third >= 0.4
    server.times.clear()
    generator.generate(["Heat"])
    assert server.times[1] - server.times[0] >= 0.7


def test_a_request_that_hangs_is_given_up_and_asked_again(server, make) -> None:
    server.faults = {"Heat": ["hang"]}
    start = time.monotonic()
    assert texts(make(timeout=0.4).generate(["Heat", "Up"])) == ["HEAT", "UP"]
    assert 0.4 <= time.monotonic() - start < 10
    assert server.asked == {"Heat": 2, "Up": 1}


@pytest.mark.parametrize(
    ("fault", "requests"),
    [
        ("401", 1),
        ("400", 1),
        ("429 insufficient_quota", 1),
        ("429 after 86400", 1),
        ("500", 3),
        ("cut off", 3),
    ],
)
def test_what_no_second_try_mends_is_an_error_in_words(server, make, fault, requests) -> None:
    server.faults = {"Heat": [fault] * 9}
    with pytest.raises(RuntimeError, match=r"OpenAIGenerator: the answer of http://127.* 'tiny'"):
        make(retries=2).generate(["Heat"])
    assert server.asked["Heat"] == requests


def test_a_server_that_is_not_there_is_named(make) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/v1"
    with pytest.raises(RuntimeError, match=rf"{url}.* asked 2 times, is APIConnectionError"):
        make(base_url=url, retries=1).generate(["Heat"])


def test_an_error_leaves_the_answers_under_way_and_no_further_request(server, make) -> None:
    server.seconds = 0.1
    server.faults = {PROMPTS[0]: ["401"]}
    kept: dict[int, Generation] = {}
    with pytest.raises(RuntimeError, match="401"):
        make(concurrency=3).generate(PROMPTS, keep=kept.update)
    answered = sum(server.asked.values()) - 1
    assert len(kept) == answered >= 2
    time.sleep(0.3)
    assert sum(server.asked.values()) == answered + 1 < len(PROMPTS)


def test_refusals_are_told_from_answers(server, make) -> None:
    server.faults = {
        "a": ["refusal"],
        "b": ["content filter"],
        "c": ["400 content_filter"],
        "d": ["half a character"],
    }
    refused = make().generate(["a", "b", "c", "d", "e"])
    assert [answer.refused for answer in refused] == [True, True, True, False, False]
    assert [answer.usable for answer in refused] == [False, False, False, True, True]
    assert refused[3].text == "Heat ?"


def test_names_tell_all_that_changes_texts() -> None:
    pytest.importorskip("openai", reason="needs openai")
    url = "http://127.0.0.1:1/v1"
    settings = [
        {},
        {"temperature": 0.5},
        {"max_tokens": 9},
        {"seed": 1},
        {"seed": None},
        {"system": "Be short."},
        {"extra": {"top_p": 0.9}},
        {"extra": {"top_p": 0.8}},
    ]
    names = [OpenAIGenerator("m", base_url=url, api_key="secret", **s).name for s in settings]
    assert len(set(names)) == len(settings)
    other = OpenAIGenerator("m", base_url="http://127.0.0.1:2", timeout=1.0, concurrency=2)
    assert other.name == names[0]
    assert "secret" not in "".join(names) + repr(OpenAIGenerator("m", api_key="secret"))


def test_without_a_key_the_way_out_is_told(monkeypatch: pytest.MonkeyPatch, server, make) -> None:
    for variable in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ADMIN_KEY"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(ValueError, match=r"OpenAIGenerator: api_key is None; .*OPENAI_API_KEY"):
        OpenAIGenerator("tiny").generate(["Heat"])
    assert texts(make(api_key=None).generate(["Heat"])) == ["HEAT"]  # a server of one's own


@pytest.mark.parametrize(
    ("given", "error", "match"),
    [
        ({"model": ""}, ValueError, "model is ''"),
        ({"model": 3}, TypeError, "model is 3; expected a str"),
        ({"temperature": -1.0}, ValueError, "temperature is -1.0"),
        ({"max_tokens": 0}, ValueError, "max_tokens is 0"),
        ({"concurrency": 0}, ValueError, "concurrency is 0"),
        ({"timeout": 0}, ValueError, "timeout is 0"),
        ({"retries": -1}, ValueError, "retries is -1"),
    ],
)
def test_wrong_settings_are_refused(given, error, match) -> None:
    with pytest.raises(error, match=f"OpenAIGenerator: {match}"):
        OpenAIGenerator(**{"model": "m", **given})
