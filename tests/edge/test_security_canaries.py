"""Secrets with names that are looked for afterwards: a real gateway that logs all it can is made to fail in every way, by a
provider that says back whatever it was sent. None of them is anywhere: not in a reply, a page, a header, the log, a file.
"""

import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from gateway import PATIENT, QUIET, Answer, Chat, Provider, Running, provider, serving

PROVIDER_KEY = "sk-canary/of+the?provider>~~7fQ2=="
CLIENT_TOKEN = "token-canary-of-the-client-0123"
OTHER_TOKEN = "token-canary-of-another-client-4"
ADMIN_TOKEN = "token-canary-of-the-admin-000567"
WRONG_TOKEN = "token-canary-that-nobody-has-89"
PROMPT = "prompt-canary 4f1c said by the user"
HEADER = "header-canary-77aa"
QUERY = "query-canary-55bb"
PEPPER = "pepper-canary-0123456789abcdef0123"
FAULTS = ("e400", "e401", "e403", "e404", "e422", "e429", "e500", "e503", "html", "text", "late", "silent", "cut")
DIALECTS: dict[str, tuple[str, dict[str, Any]]] = {
    "openai": ("/v1/chat/completions", {"messages": [{"role": "user", "content": PROMPT}]}),
    "anthropic": ("/v1/messages", {"max_tokens": 9, "messages": [{"role": "user", "content": PROMPT}]}),
    "responses": ("/v1/responses", {"input": PROMPT, "store": False}),
    "ollama": ("/api/chat", {"messages": [{"role": "user", "content": PROMPT}]}),
}


class Echo(Chat):
    """Says back its headers, in all spellings, and the prompt."""

    def do_GET(self) -> None:
        self._reply(200, {"data": [{"id": name} for name in FAULTS]})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.headers.append({name.lower(): value for name, value in self.headers.items()})
        name, sent = asked["model"], str(dict(self.headers))
        key = self.headers["authorization"].removeprefix("Bearer ")
        coded = [quote(key), quote(key, safe=""), *(f(f"Bearer {key}".encode()).decode() for f in CODINGS)]
        said = f"{str(asked['messages'])[-90:]}: {key} as {' '.join(coded)} in {sent}"
        if name[0] == "e" and name[1:].isdigit():
            self._reply(int(name[1:]), {"error": {"message": said, "code": key, "param": key, "type": key}})
        elif name in ("html", "text"):
            self._text(500, f"<html>{said}" if name == "html" else said)
        elif name == "late" and asked.get("stream"):
            self._late(asked, said)
        else:
            self.close_connection = True  # without an answer

    def _text(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def _late(self, asked: dict[str, Any], said: str) -> None:
        """An error after the first words."""
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("x-secret", said[:500].replace("\n", " "))
        self.end_headers()
        self._event(asked, {"role": "assistant", "content": "Hm"})
        self.wfile.write(b"data: %b\n\n" % json.dumps({"error": {"message": said, "type": said}}).encode())
        self.close_connection = True


CODINGS = (b64encode, urlsafe_b64encode)


def spellings(secret: str) -> Iterator[bytes]:
    yield secret.encode()
    yield quote(secret, safe="").encode()
    yield quote(secret).encode()
    yield json.dumps(secret)[1:-1].encode()
    for before in range(3):
        core = slice((0, 2, 3)[before], (len(secret) + before) * 8 // 6)
        for encode in CODINGS:
            yield encode(bytes(before) + secret.encode())[core]


def found(secret: str, where: bytes) -> bool:
    return any(spelling in where for spelling in spellings(secret))


CONFIG = f"""{QUIET}{PATIENT}
[logging]
level = "debug"
[keys_store]
pepper = "{PEPPER}"
failures_per_minute = 0
[network]
first_byte_timeout_s = 2.0
[retry]
tries = 1
[[keys]]
name = "one"
token = "{CLIENT_TOKEN}"
[[keys]]
name = "two"
token = "{OTHER_TOKEN}"
[[keys]]
name = "chief"
token = "{ADMIN_TOKEN}"
admin = true
[admin]
enabled = true
port = 0
[[budgets]]
name = "default"
capacity = 1000000
[[providers]]
type = "openai"
name = "echo"
api_key = '{PROVIDER_KEY}'
models = {json.dumps(FAULTS)}
"""


class Provoked:
    """A gateway after all that can go wrong has. `told` is what one client was told of its own calls, `pages` what others
    can see, `kept` what lies on the disk, by name.
    """

    def __init__(self, home: Path, fake: Provider) -> None:
        self.told: list[tuple[str, bytes]] = []
        self.pages: list[tuple[str, bytes]] = []
        self.made = ""
        with serving(home, CONFIG + f'base_url = "{fake.url}"\n') as gateway:
            self._calls(gateway)
            self._strangers(gateway)
            self._administer(gateway)
            for path in (
                "/v1/health",
                "/v1/health/providers",
                "/v1/usage",
                "/v1/costs",
                "/v1/models",
                "/v1/tokens/pools",
            ):
                head = (
                    f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nx-api-key: {OTHER_TOKEN}\r\n\r\n"
                )
                self.pages.append((path, gateway.raw(head.encode())))
        self.log = (home / "stderr.log").read_bytes()
        self.kept = {
            str(path.relative_to(home)): path.read_bytes()
            for path in home.rglob("*")
            if path.is_file() and path.name not in ("hoosh.toml", "stderr.log")
        }

    def _calls(self, gateway: Running) -> None:
        for name in FAULTS:
            for dialect, (path, body) in DIALECTS.items():
                for stream in (False, True):
                    asked = json.dumps({"model": name, "stream": stream, **body}).encode()
                    self._say(gateway, f"{dialect} {name} {stream}", path, asked, CLIENT_TOKEN)

    def _strangers(self, gateway: Running) -> None:
        body = json.dumps({"model": "e500", **DIALECTS["openai"][1]}).encode()
        for path in ("/v1/chat/completions", f"/v1/nothing/{QUERY}", f"/v1/models?key={WRONG_TOKEN}"):
            self._say(gateway, f"stranger {path}", path, body, WRONG_TOKEN)
        for broken in (body[:-9], body.replace(b"messages", b"massages"), body.replace(b"e500", b"nobody")):
            self._say(gateway, "mistake", "/v1/chat/completions", broken, CLIENT_TOKEN)

    def _say(self, gateway: Running, what: str, path: str, body: bytes, token: str) -> None:
        head = (
            f"POST {path}{'&' if '?' in path else '?'}canary={QUERY} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
            f"content-type: application/json\r\nauthorization: Bearer {token}\r\nx-canary: {HEADER}\r\n"
            f"cookie: {HEADER}\r\nuser-agent: {HEADER}\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        self.told.append((what, gateway.raw(head.encode() + body)))

    def _administer(self, gateway: Running) -> None:
        place = re.search(r"administration on http://127\.0\.0\.1:(\d+)", gateway.banner)
        assert place
        desk = Running(gateway.process, int(place[1]), "")
        key = f"x-api-key: {ADMIN_TOKEN}"
        made: Answer = desk.json({"name": "made"}, key, path="/admin/keys")
        self.made = str(made.value["key"] if "key" in made.value else made.value["secret"])
        for path in ("/admin/keys", f"/admin/keys/{made.value['id']}", "/admin/health"):
            shown = desk.ask(b"", key, path=path, method="GET")
            assert shown.status == 200, shown.body
            self.pages.append((path, shown.body))
        used = gateway.json({"model": "e500", **DIALECTS["openai"][1]}, f"x-api-key: {self.made}")
        assert used.status == 500, used.body


@pytest.fixture(scope="module")
def provoked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provoked]:
    home = tmp_path_factory.mktemp("canaries")
    with provider(Echo) as fake:
        yield Provoked(home, fake)
        assert fake.headers[0]["authorization"] == f"Bearer {PROVIDER_KEY}"
        assert CLIENT_TOKEN not in str(fake.headers)


def test_the_failures_are_there(provoked: Provoked) -> None:
    """Else nothing below says anything."""
    seen = {int(status) for _, said in provoked.told for status in re.findall(rb"^HTTP/1\.1 ([0-9]{3}) ", said)}
    assert seen >= {400, 401, 403, 404, 422, 429, 500, 502, 503}
    late = [said for what, said in provoked.told if what == "openai late True"]
    assert b"Hm" in late[0]
    assert b"(not shown)" in late[0]
    assert {"hoosh/hoosh.db", "hoosh/hoosh.pepper"} & provoked.kept.keys()
    assert provoked.log.count(b'"event":"call"') > 50


@pytest.mark.parametrize("secret", [PROVIDER_KEY, CLIENT_TOKEN, OTHER_TOKEN, ADMIN_TOKEN, WRONG_TOKEN, PEPPER, "made"])
def test_a_secret_is_nowhere(provoked: Provoked, secret: str) -> None:
    secret = provoked.made if secret == "made" else secret
    places = [*provoked.told, *provoked.pages, ("log", provoked.log)]
    places += [kept for kept in provoked.kept.items() if not kept[0].endswith(".pepper")]
    assert len(secret) > 20
    assert [name for name, text in places if found(secret, text)] == []


@pytest.mark.parametrize("canary", [PROMPT, HEADER, QUERY])
def test_what_a_client_said_is_in_no_log_file_or_page(provoked: Provoked, canary: str) -> None:
    places = [*provoked.pages, ("log", provoked.log), *provoked.kept.items()]
    assert [name for name, text in places if found(canary, text)] == []


def test_no_header_of_a_client_or_a_provider_is_passed_to_the_other(provoked: Provoked) -> None:
    assert [what for what, said in provoked.told if HEADER.encode() in said.partition(b"\r\n\r\n")[0]] == []
    assert [what for what, said in provoked.told if b"x-secret" in said.lower()] == []
