"""The gateway speaks with the origins of its configuration and with nobody else, whatever a client or a provider says:
over real sockets, with a trap beside them that counts who comes.
"""

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway import QUIET, Chat, Provider, Running, one_provider, provider, serving
from scripted import reply, scripted


class Trap:
    """A port at which nobody may knock."""

    def __init__(self) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listening.getsockname()[1]
        self.knocks = 0

    def count(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self.listening.accept()[0].close()
                self.knocks += 1

    def is_quiet(self) -> bool:
        """What knocked before this has been counted: connections are accepted in their order."""
        before = self.knocks
        socket.create_connection(("127.0.0.1", self.port)).close()
        while self.knocks == before:
            threading.Event().wait(0.001)
        return self.knocks == before + 1


@pytest.fixture(scope="module")
def trap() -> Iterator[Trap]:
    made = Trap()
    thread = threading.Thread(target=made.count, daemon=True)
    thread.start()
    yield made
    made.listening.shutdown(socket.SHUT_RDWR)
    made.listening.close()
    thread.join()


@pytest.fixture(scope="module")
def fake() -> Iterator[Provider]:
    with provider() as server:
        yield server


@pytest.fixture(scope="module")
def gateway(fake: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("ssrf"), one_provider(fake.url)) as running:
        yield running


HOSTS = (
    *(
        "127.0.0.1",
        "localhost",
        "LOCALHOST",
        "127.1",
        "127.0.1",
        "0",
        "0.0.0.0",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
    ),
    *(
        "0177.0.0.1",
        "017700000001",
        "127.0.0.1.",
        "localhost.",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
    ),
    *("[0:0:0:0:0:0:0:1]", "[64:ff9b::7f00:1]", "[fe80::1%25lo]", "127.127.127.127", "①②⑦.⓪.⓪.①", "127。0。0。1"),
    *("localtest.me", "127.0.0.1.nip.io", "a@127.0.0.1", "a:b@127.0.0.1", "api.openai.com@127.0.0.1"),
    *("127.0.0.1\t", "127.0.0.1\n", " 127.0.0.1", "127.0.0.1%2f", "127.0.0.1\\@api.openai.com", "xn--lcalhost-b1a"),
    *(
        "169.254.169.254",
        "metadata.google.internal",
        "10.0.0.1",
        "192.168.0.1",
        "172.16.0.1",
        "100.64.0.1",
        "[fd00::1]",
    ),
    *("224.0.0.1", "255.255.255.255", "192.0.0.192", "[fd00:ec2::254]"),
)
ODD = (
    *("file:///etc/passwd", "gopher://127.0.0.1:{port}/_x", "ftp://127.0.0.1:{port}/", "dict://127.0.0.1:{port}/x"),
    *("//127.0.0.1:{port}/x", "http:127.0.0.1:{port}", "http:/127.0.0.1:{port}/", "HTTP://127.0.0.1:{port}/"),
    *("http://127.0.0.1:{port}#@x", "http://127.0.0.1:{port}?@x", "http://x#@127.0.0.1:{port}/", "unix:///tmp/x"),
    *("embedded://127.0.0.1:{port}", "jar:http://127.0.0.1:{port}!/", "javascript:fetch('http://127.0.0.1:{port}')"),
    *("http://127.0.0.1:{port}/%0d%0aHost:%20x", "data:text/html,<img src=http://127.0.0.1:{port}>"),
)


def corpus(port: int) -> list[str]:
    urls = [f"http://{host}:{port}/x.png" for host in HOSTS] + [url.format(port=port) for url in ODD]
    assert len(set(urls)) >= 60
    return urls


def bodies(url: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Wherever a dialect has an address of something."""

    def chat(*parts: dict[str, Any], **more: Any) -> tuple[str, dict[str, Any]]:
        return "/v1/chat/completions", {"model": "echo", "messages": [{"role": "user", "content": list(parts)}], **more}

    text = {"type": "text", "text": url}
    yield chat(text, {"type": "image_url", "image_url": {"url": url}})
    yield chat(text, {"type": "file", "file": {"file_data": url, "file_id": url, "filename": url}})
    yield chat(text, {"type": "input_audio", "input_audio": {"data": url, "format": "wav"}})
    wishes = (
        "api_base",
        "base_url",
        "api_key",
        "organization",
        "host",
        "custom_host",
        "proxy",
        "webhook",
        "callback_url",
    )
    yield chat(text, **dict.fromkeys(wishes, url), metadata={"url": url}, extra_headers={"host": url})
    image = {"type": "image", "source": {"type": "url", "url": url}}
    document = {"type": "document", "source": {"type": "url", "url": url}}
    said = [{"role": "user", "content": [image, document, text]}]
    yield "/v1/messages", {"model": "echo", "max_tokens": 9, "messages": said}
    parts = [{"type": "input_image", "image_url": url}, {"type": "input_file", "file_url": url}]
    yield "/v1/responses", {"model": "echo", "input": [{"role": "user", "content": parts}]}
    files: list[dict[str, Any]] = [{"fileData": {"fileUri": url, "mimeType": "image/png"}}, {"text": url}]
    yield "/v1beta/models/echo:generateContent", {"contents": [{"parts": files}]}
    yield "/api/chat", {"model": "echo", "messages": [{"role": "user", "content": url, "images": [url]}]}
    yield "/v1/embeddings", {"model": "echo", "input": [url]}
    yield "/v1/rerank", {"model": "echo", "query": url, "documents": [url]}
    yield "/v1/chat/completions", {"model": url, "messages": [{"role": "user", "content": url}]}
    yield "/api/show", {"model": url}


def test_no_address_in_a_body_is_ever_called(gateway: Running, fake: Provider, trap: Trap) -> None:
    asked = len(fake.bodies)
    statuses = set()
    for url in corpus(trap.port):
        for path, body in bodies(url):
            statuses.add(gateway.json(body, path=path).status)
    assert 500 not in statuses
    assert len(fake.bodies) - asked > 60  # addresses went on to the provider, whose business they are
    assert any(str(trap.port).encode() in body for body in fake.bodies)
    assert {sent["authorization"] for sent in fake.headers} == {"Bearer sk-upstream-secret"}
    assert {sent["host"] for sent in fake.headers} == {fake.url.removeprefix("http://").removesuffix("/v1")}
    assert trap.is_quiet()


HEADERS = (
    *("x-forwarded-host", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-port", "forwarded", "x-real-ip", "via"),
    *("x-original-url", "x-rewrite-url", "x-host", "x-http-host-override", "x-base-url", "x-api-base", "x-upstream"),
    *("x-portkey-custom-host", "x-portkey-provider", "helicone-target-url", "x-hoosh-base-url", "openai-organization"),
    *("proxy-authorization", "proxy-connection", "te", "trailer", "keep-alive", "x-http-method-override", "cookie"),
    *("x-goog-user-project", "anthropic-beta", "api-version", "range", "if-none-match", "accept-encoding"),
)


def test_no_header_changes_where_a_request_goes_or_what_it_shows(gateway: Running, fake: Provider, trap: Trap) -> None:
    asked = len(fake.headers)
    for name in HEADERS:
        for value in (f"http://127.0.0.1:{trap.port}/", f"127.0.0.1:{trap.port}", "canary"):
            body = {"model": "echo", "messages": [{"role": "user", "content": "x"}]}
            gateway.json(body, f"{name}: {value}", "authorization: Bearer client-canary", "connection: close, x-canary")
    sent = fake.headers[asked:]
    assert len(sent) == 3 * len(HEADERS)
    names = {name for headers in sent for name in headers}
    assert names == {"host", "accept-encoding", "content-type", "content-length", "authorization", "user-agent"}
    assert {headers["authorization"] for headers in sent} == {"Bearer sk-upstream-secret"}
    assert {headers["accept-encoding"] for headers in sent} == {"identity"}
    assert "canary" not in str(sent)
    assert trap.is_quiet()


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 305, 307, 308])
def test_a_redirect_of_a_provider_is_an_error_and_not_followed(trap: Trap, tmp_path: Path, status: int) -> None:
    place = f"location: http://127.0.0.1:{trap.port}/v1/chat/completions"
    with scripted([reply(b"{}", place, status=status)]) as upstream:
        config = one_provider(f"{upstream.url}/v1") + "[retry]\ntries = 1\n"
        with serving(tmp_path, config) as gateway:
            answer = gateway.json({"model": "echo", "messages": [{"role": "user", "content": "x"}]})
        assert answer.status == 502, answer.body
        assert b"location" not in bytes(str(answer.headers), "utf-8")
        assert len(upstream.requests) == 1
    assert trap.is_quiet()


MODELS = (
    *(
        "../../secret",
        "..%2f..%2fsecret",
        "a/../../b",
        "m?key=x",
        "m#x",
        "m%00",
        "m:generateContent/x",
        "/m",
        "//evil/m",
    ),
    *("m\\x", "m x", "m\u2028x", "http://evil/m", "@evil", "m;x=1", "m&alt=sse", "%2e%2e/%2e%2e", "models/../x"),
)


@pytest.mark.parametrize("model", MODELS)
def test_a_models_name_does_not_leave_its_place_in_the_path(
    tmp_path_factory: pytest.TempPathFactory, model: str
) -> None:
    """Gemini's API has it there."""
    said = {"candidates": [{"content": {"parts": [{"text": "Hi"}]}, "finishReason": "STOP"}]}
    home = tmp_path_factory.mktemp("paths")
    with scripted([reply(json.dumps(said).encode())]) as upstream:
        table = '[[providers]]\ntype = "google"\nname = "google"\napi_key = "AIza-of-the-gateway"\nmodels = ["*"]\n'
        with serving(home, f'{QUIET}{table}base_url = "{upstream.url}"\n') as gateway:
            answer = gateway.json({"model": f"google/{model}", "messages": [{"role": "user", "content": "x"}]})
        assert answer.status in (200, 400, 404), answer.body
        for asked in upstream.requests:
            _, target, version = asked.line.split(" ")
            assert version == "HTTP/1.1"
            place, _, method = target.removeprefix("/v1beta/models/").partition(":generateContent")
            assert target.startswith("/v1beta/models/")
            assert not set(place) & set("/?#&;\\@:"), target
            assert method == ""
            assert "AIza" not in target
            assert asked.headers["x-goog-api-key"] == "AIza-of-the-gateway"


class Failing(Chat):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.server.headers.append({name.lower(): value for name, value in self.headers.items()})
        self._reply(503, {"error": {"message": "busy"}})


def test_a_providers_key_is_shown_to_that_provider_alone(tmp_path: Path) -> None:
    table = (
        '[[providers]]\ntype = "openai"\nname = "{name}"\nbase_url = "{url}"\nmodels = ["echo"]\npriority = {n}\n{key}'
    )
    with provider(Failing) as first, provider(Failing) as second, provider() as third:
        tables = (
            table.format(name="a", url=first.url, n=1, key='api_key = "sk-of-the-first-one"\n'),
            table.format(name="b", url=second.url, n=2, key=""),
            table.format(name="c", url=third.url, n=3, key='api_key = "sk-of-the-third-one"\n'),
        )
        with serving(tmp_path, QUIET + "[retry]\ntries = 1\nmax_attempts = 3\n" + "".join(tables)) as gateway:
            answer = gateway.json({"model": "echo", "messages": [{"role": "user", "content": "x"}]}, "x-api-key: mine")
        assert answer.status == 200, answer.body
        shown = [headers.get("authorization") for fake in (first, second, third) for headers in fake.headers]
    assert shown == ["Bearer sk-of-the-first-one", None, "Bearer sk-of-the-third-one"]
