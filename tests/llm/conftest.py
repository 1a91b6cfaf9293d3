"""A server that speaks as much of OpenAI's chat completions as the tests need."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pyhybrid.llm import OpenAIGenerator


class Server(ThreadingHTTPServer):
    """Chat completions on the loopback interface: the answer is the prompt in capitals.

    `faults` says what happens to a prompt's first requests instead, one after the other.
    """

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.lock = threading.Lock()
        self.faults: dict[str, list[str]] = {}
        self.seconds = 0.0
        self.requests: list[dict] = []
        self.times: list[float] = []
        self.at_once = self.most_at_once = 0
        self.released = threading.Event()  # ends the requests that hang

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    @property
    def asked(self) -> Counter[str]:
        return Counter(request["messages"][-1]["content"] for request in self.requests)

    def handle_error(self, request, client_address) -> None:
        pass  # a client that has gone is what some tests are about


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        given = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = given["messages"][-1]["content"]
        given["path"], given["key"] = self.path, self.headers["Authorization"]
        with self.server.lock:
            self.server.requests.append(given)
            self.server.times.append(time.monotonic())
            self.server.at_once += 1
            self.server.most_at_once = max(self.server.most_at_once, self.server.at_once)
            faults = self.server.faults.get(prompt)
            fault = faults.pop(0) if faults else ""
        time.sleep(self.server.seconds)
        if fault == "hang":
            self.server.released.wait(30)
        with self.server.lock:
            self.server.at_once -= 1
        self.reply(prompt, fault)

    def reply(self, prompt: str, fault: str) -> None:
        status, headers = 200, {}
        message = {"role": "assistant", "content": prompt.upper()}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        body = {"choices": [choice], "usage": {"prompt_tokens": 7, "completion_tokens": 2}}
        if fault == "refusal":
            choice["message"] = {"role": "assistant", "content": None, "refusal": "I won't."}
        elif fault == "content filter":
            choice["finish_reason"] = "content_filter"
        elif fault == "no choices":
            body = {"error": {"message": "the model is loading"}}
        elif fault.startswith("half a character"):
            message["content"] = "Heat \ud83d"
        elif fault[:3].isdigit():
            status, _, rest = int(fault[:3]), *fault[3:].partition(" ")[1:]
            if rest.startswith("after "):
                headers["Retry-After"] = rest.removeprefix("after ")
            body = {"error": {"message": "no", "code": rest or None}}
        text = json.dumps(body)
        if fault == "cut off":
            text = text[: len(text) // 2]
        data = b"<html>busy</html>" if fault == "html" else text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html" if fault == "html" else "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *given) -> None:
        pass


@pytest.fixture
def server():
    pytest.importorskip("openai", reason="needs openai")
    serving = Server()
    thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield serving
    serving.released.set()
    serving.shutdown()
    serving.server_close()
    thread.join()


@pytest.fixture
def make(server: Server):
    """Make generators whose connections are closed at the end."""
    made = []

    def generator(**given) -> OpenAIGenerator:
        settings = {"base_url": server.url, "api_key": "secret", "backoff": 0.01, "timeout": 20.0}
        made.append(OpenAIGenerator("tiny", **{**settings, **given}))
        return made[-1]

    yield generator
    for one in made:
        one._client.close()
