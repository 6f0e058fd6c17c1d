"""Web pages of elsewhere, in a browser of this machine: what a gateway without keys says to the requests they can make."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway import Provider, Running, one_provider, provider, serving

CHAT = b'{"model":"echo","messages":[{"role":"user","content":"x"}]}'
PULL = b'{"model":"smollm2-135m"}'
ASKED = (
    ("POST", "/v1/chat/completions", CHAT),
    ("POST", "/v1/messages", CHAT.replace(b"{", b'{"max_tokens":9,', 1)),
    ("POST", "/v1/responses", b'{"model":"echo","input":"x"}'),
    ("POST", "/api/pull", PULL),
    ("DELETE", "/api/delete", PULL),
    ("GET", "/v1/models", b""),
    ("GET", "/v1/usage", b""),
    ("GET", "/v1/health/providers", b""),
)


@pytest.fixture(scope="module")
def fake() -> Iterator[Provider]:
    with provider() as server:
        yield server


@pytest.fixture(scope="module")
def gateway(fake: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    home = tmp_path_factory.mktemp("pages")
    with serving(home, "[server]\nhost = 'Gateway.example.com'\n" + one_provider(fake.url)) as running:
        yield running


def status(gateway: Running, asked: tuple[str, str, bytes], *lines: str, host: str = "localhost") -> tuple[int, bytes]:
    method, path, body = asked
    head = [f"{method} {path} HTTP/1.1", f"host: {host}", "connection: close", f"content-length: {len(body)}", *lines]
    said = gateway.raw("\r\n".join([*head, "", ""]).encode("latin-1") + body)
    return int(said.split(b" ", 2)[1]), said


@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: " ".join(asked[:2]))
@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8088", "127.0.0.1.nip.io", "localhost.evil.example:80", "rebound.test."]
)
def test_a_page_that_bound_its_name_to_this_machine_gets_nothing(
    gateway: Running, fake: Provider, asked: tuple[str, str, bytes], host: str
) -> None:
    before = len(fake.bodies)
    code, said = status(gateway, asked, "content-type: application/json", host=host)
    assert code == 403, said
    assert b"server.host" in said
    assert len(fake.bodies) == before


@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: " ".join(asked[:2]))
@pytest.mark.parametrize("origin", ["https://evil.example", "http://evil.example:8088", "null", "http://10.0.0.1"])
@pytest.mark.parametrize("kind", ["content-type: application/json", "x-no: content-type", "content-type: text/plain"])
def test_a_page_of_elsewhere_can_make_nothing_happen(
    gateway: Running, fake: Provider, asked: tuple[str, str, bytes], origin: str, kind: str
) -> None:
    """Without a type, a body goes out unasked: `fetch(url, {mode: "no-cors", method: "POST", body: new Blob([json])})`."""
    before = len(fake.bodies)
    code, said = status(gateway, asked, f"origin: {origin}", kind)
    assert code == 403, said
    assert b"access-control" not in said.lower()
    assert len(fake.bodies) == before


@pytest.mark.parametrize(
    "host", ["localhost:8088", "127.0.0.1", "[::1]:8088", "gateway.example.com", "host.docker.internal"]
)
@pytest.mark.parametrize(
    "line", ["x: y", "origin: http://localhost:3000", "origin: app://desk", "origin: https://gateway.example.com"]
)
def test_programs_and_pages_of_this_machine_are_answered(gateway: Running, host: str, line: str) -> None:
    assert status(gateway, ASKED[0], line, "content-type: application/json", host=host)[0] == 200


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/models", "/api/delete", "/", "/nothing"])
def test_no_page_is_given_leave_to_ask(gateway: Running, path: str) -> None:
    wants = ("access-control-request-method: POST", "access-control-request-headers: content-type,authorization")
    code, said = status(gateway, ("OPTIONS", path, b""), "origin: https://evil.example", *wants)
    assert code in (404, 405)
    assert b"access-control" not in said.lower()


def test_where_a_key_is_needed_no_name_is_asked_for(fake: Provider, tmp_path: Path) -> None:
    """A page has no key, and a proxy in front has a name of its own."""
    key = "[[keys]]\nname = 'k'\ntoken = 'token-of-good-length'\n"
    with serving(tmp_path, one_provider(fake.url) + key) as gateway:
        kind = "content-type: application/json"
        assert status(gateway, ASKED[0], kind, "x-api-key: token-of-good-length", host="ai.example.com")[0] == 200
        assert status(gateway, ASKED[0], kind, host="ai.example.com")[0] == 401
