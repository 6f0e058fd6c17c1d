"""A small client of a running gateway, on the standard library alone."""

import http.client
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import closing
from urllib.parse import urlsplit

from hoosh.core.errors import ConfigError, HooshError
from hoosh.dialects import JSON

DEFAULT_URL = "http://127.0.0.1:8088"
TIMEOUT_S = 600.0


class HooshClient:
    """`base_url` and `api_key` default to $HOOSH_URL and $HOOSH_API_KEY. A refusal raises HooshError with the
    server's message, status and code.
    """

    def __init__(self, base_url: str | None = None, api_key: str | None = None) -> None:
        url = urlsplit(base_url or os.environ.get("HOOSH_URL") or DEFAULT_URL)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ConfigError(f"not an address of a server: {url.geturl()}")
        self._url = url
        key = api_key or os.environ.get("HOOSH_API_KEY")
        self._headers = {"authorization": f"Bearer {key}"} if key else {}

    def get(self, path: str) -> JSON:
        return self._json("GET", path, None)

    def post(self, path: str, value: object) -> JSON:
        return self._json("POST", path, value)

    def text(self, asked: Mapping[str, object]) -> str:
        """The answer of a chat request, as text."""
        answer = self.post("/v1/chat/completions", asked)
        return str(answer["choices"][0]["message"]["content"] or "")

    def stream_text(self, asked: Mapping[str, object]) -> Iterator[str]:
        """The answer's pieces as they come. Raises HooshError when the stream breaks off."""
        with closing(self._connect()) as connection:
            reply = self._ask(connection, "POST", "/v1/chat/completions", {**asked, "stream": True})
            for line in reply:
                if not line.startswith(b"data:"):
                    continue
                data = line[5:].strip()
                if data == b"[DONE]":
                    return
                chunk = json.loads(data)
                if error := chunk.get("error"):
                    raise HooshError(error["message"])
                for choice in chunk["choices"]:
                    if text := choice["delta"].get("content"):
                        yield text
        raise HooshError("the stream ended early")

    def _json(self, method: str, path: str, value: object) -> JSON:
        with closing(self._connect()) as connection:
            answer: JSON = json.loads(self._ask(connection, method, path, value).read())
            return answer

    def _connect(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._url.scheme == "https" else http.client.HTTPConnection
        return kind(self._url.hostname or "", self._url.port, timeout=TIMEOUT_S)

    def _ask(
        self, connection: http.client.HTTPConnection, method: str, path: str, value: object
    ) -> http.client.HTTPResponse:
        body = None if value is None else json.dumps(value).encode()
        headers = {**self._headers, "content-type": "application/json"} if body else self._headers
        try:
            connection.request(method, self._url.path.rstrip("/") + path, body, headers)
            reply = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            raise HooshError(f"cannot reach {self._url.scheme}://{self._url.netloc}: {error}") from None
        if reply.status >= 400:
            raise _refusal(reply.status, reply.read())
        return reply


def _refusal(status: int, body: bytes) -> HooshError:
    try:
        said = json.loads(body)["error"]
        error = HooshError(said["message"], param=said.get("param"))
        error.code = said.get("code") or error.code
    except (ValueError, KeyError, TypeError):
        error = HooshError(f"the server answered {status}")
    error.status = status
    return error
