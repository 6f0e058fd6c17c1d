"""A provider in OpenAI's dialect that plays a part; the model's name says which: say, tools, json, agent, cut, limited.

`python tests/compat/scripted.py` serves it for those that are no tests, and prints its address.
"""

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ANSWER = "The capital of France is Paris."
USAGE = {"prompt_tokens": 9, "completion_tokens": 7, "total_tokens": 16}
JSON_ANSWER = '{"answer":"Paris","ok":true}'
MODELS = ("say", "tools", "json", "agent", "cut", "limited")
# What coding agents call the tool that runs a command, and the parameter that holds it.
SHELLS = {
    "Bash": "command",
    "bash": "command",
    "shell": "command",
    "exec_command": "cmd",
    "run_shell_command": "command",
}
COMMAND = "echo hoosh-$((40 + 2))"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "Scripted"

    def do_GET(self) -> None:
        self._json(200, {"object": "list", "data": [{"id": name, "object": "model"} for name in MODELS]})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append(asked)
        if asked["model"] == "limited":
            error = {"message": "Slow down.", "type": "requests", "param": None, "code": "rate_limit_exceeded"}
            self._json(429, {"error": error}, ("retry-after", "7"))
            return
        message = _message(asked)
        if asked.get("stream"):
            self._stream(asked, message)
        else:
            choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": _reason(message)}
            self._json(200, {**_head(asked, "chat.completion"), "choices": [choice], "usage": USAGE})

    def _stream(self, asked: dict[str, Any], message: dict[str, Any]) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True
        for delta in ({"role": "assistant", "content": ""}, *_deltas(message)):
            self._event(asked, [{"index": 0, "delta": delta, "finish_reason": None}])
        if asked["model"] == "cut":
            return
        self._event(asked, [{"index": 0, "delta": {}, "finish_reason": _reason(message)}])
        if (asked.get("stream_options") or {}).get("include_usage"):
            self._event(asked, [], usage=USAGE)
        self.wfile.write(b"data: [DONE]\n\n")

    def _event(self, asked: dict[str, Any], choices: list[Any], **more: object) -> None:
        chunk = {**_head(asked, "chat.completion.chunk"), "choices": choices, **more}
        self.wfile.write(b"data: %b\n\n" % json.dumps(chunk).encode())
        self.wfile.flush()

    def _json(self, status: int, value: object, *headers: tuple[str, str]) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        for name, said in (*headers, ("content-type", "application/json"), ("content-length", str(len(data)))):
            self.send_header(name, said)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Silence."""


def _head(asked: dict[str, Any], kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "object": kind, "created": 1_700_000_000, "model": asked["model"]}


def _message(asked: dict[str, Any]) -> dict[str, Any]:
    """What the assistant says: the answer, the tool's result in words, or a call of every tool that is offered (an
    agent's: of the one that runs commands).
    """
    last, tools = asked["messages"][-1], asked.get("tools") or []
    if asked["model"] == "json":
        return {"content": JSON_ANSWER}
    if asked["model"] not in ("tools", "agent") or not tools:
        return {"content": ANSWER}
    if last["role"] == "tool":
        content = last["content"]
        said = content if isinstance(content, str) else "".join(part["text"] for part in content)
        return {"content": f"The tool says: {said}"}
    if asked["model"] == "agent":
        return _shell([tool["function"]["name"] for tool in tools if "function" in tool])
    calls = [
        {
            "id": f"call_{k}",
            "type": "function",
            "function": {"name": tool["function"]["name"], "arguments": '{"city": "Paris"}'},
        }
        for k, tool in enumerate(tools)
    ]
    return {"content": None, "tool_calls": calls}


def _shell(names: list[str]) -> dict[str, Any]:
    name = next(name for name in names if name in SHELLS)
    arguments = json.dumps({SHELLS[name]: COMMAND, "description": "Say what forty and two are"})
    call = {"id": "call_0", "type": "function", "function": {"name": name, "arguments": arguments}}
    return {"content": "I run it.", "tool_calls": [call]}


def _reason(message: dict[str, Any]) -> str:
    return "tool_calls" if message.get("tool_calls") else "stop"


def _deltas(message: dict[str, Any]) -> list[dict[str, Any]]:
    """A call comes as OpenAI streams it: its name first, then its arguments in pieces."""
    words = (message["content"] or "").split(" ")
    texts = [word if k == 0 else f" {word}" for k, word in enumerate(words)] if message["content"] else []
    deltas: list[dict[str, Any]] = [{"content": text} for text in texts]
    for k, call in enumerate(message.get("tool_calls") or []):
        function = call["function"]
        begun = {**call, "index": k, "function": {"name": function["name"], "arguments": ""}}
        deltas.append({"tool_calls": [begun]})
        pieces = (function["arguments"][:5], function["arguments"][5:])
        deltas += [{"tool_calls": [{"index": k, "function": {"arguments": piece}}]} for piece in pieces]
    return deltas


class Scripted(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


@contextlib.contextmanager
def scripted() -> Iterator[Scripted]:
    server = Scripted()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


if __name__ == "__main__":
    with Scripted() as main:
        print(main.url, flush=True)
        main.serve_forever()
