"""Configurations that would leave a door open do not start, and say why without saying the secret."""

import subprocess
import sys
from pathlib import Path

import pytest

from gateway import PATIENCE_S, QUIET, Running, clean_environ, one_provider, provider, serving

SHORT = "sh0rt-canary"
LONG = "a-canary-of-good-length-0123"
KEY = f"[[keys]]\nname = 'k'\ntoken = '{LONG}'\n"
REFUSED = {
    "every address without a key": ("[server]\nbind = '0.0.0.0'\n", "there are no keys"),
    "every address of IPv6 without a key": ("[server]\nbind = '::'\n", "there are no keys"),
    "an address of the network without a key": ("[server]\nbind = '192.0.2.1'\n", "there are no keys"),
    "a name without a key": ("[server]\nbind = 'gateway.example.com'\n", "there are no keys"),
    "a short token": (f"[[keys]]\nname = 'k'\ntoken = '{SHORT}'\n", "16 characters"),
    "an empty token": ("[[keys]]\nname = 'k'\ntoken = ''\n", "empty"),
    "a token of blanks": ("[[keys]]\nname = 'k'\ntoken = '                    '\n", "blank"),
    "two keys of one token": (f"{KEY}[[keys]]\nname = 'l'\ntoken = '{LONG}'\n", "token"),
    "a short pepper": (f"[keys_store]\npepper = '{SHORT}'\n", "32 characters"),
    "a secret file that others may read": ("[[keys]]\nname = 'k'\ntoken = {file = 'loose'}\n", "chmod 600"),
    "a secret file that the group may read": ("[[keys]]\nname = 'k'\ntoken = {file = 'group'}\n", "chmod 600"),
    "a secret file that is a folder": ("[[keys]]\nname = 'k'\ntoken = {file = '.'}\n", "not a file"),
    "a variable that is not set": ("[[keys]]\nname = 'k'\ntoken = '$NO_SUCH_VARIABLE'\n", "NO_SUCH_VARIABLE"),
    "a key in an address": (
        f"[[providers]]\ntype = 'openai'\nname = 'p'\nbase_url = 'http://user:{LONG}@127.0.0.1/v1'\n",
        "base_url",
    ),
    "a provider by another scheme": (
        "[[providers]]\ntype = 'openai'\nname = 'p'\nbase_url = 'file:///etc/passwd'\n",
        "base_url",
    ),
}


def home_of(tmp_path: Path) -> Path:
    for name, mode in (("loose", 0o644), ("group", 0o640), ("good", 0o600)):
        (tmp_path / name).write_text(LONG)
        (tmp_path / name).chmod(mode)
    return tmp_path


@pytest.mark.parametrize("name", REFUSED)
def test_it_does_not_start(tmp_path: Path, name: str) -> None:
    config, words = REFUSED[name]
    path = home_of(tmp_path) / "hoosh.toml"
    path.write_text(QUIET + config)
    done = subprocess.run(
        [sys.executable, "-m", "hoosh", "serve", "--port", "0", "--config", str(path)],
        env=clean_environ(tmp_path),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert words in said
    assert SHORT not in said
    assert LONG not in said
    assert "Traceback" not in said


def test_what_is_well_kept_starts_and_is_not_in_its_command_line(tmp_path: Path) -> None:
    with provider() as fake:
        config = one_provider(fake.url) + "[[keys]]\nname = 'k'\ntoken = {file = 'good'}\n"
        with serving(home_of(tmp_path), config) as gateway:
            assert gateway.json({"model": "echo", "messages": [{"role": "user", "content": "x"}]}).status == 401
            told = gateway.json(
                {"model": "echo", "messages": [{"role": "user", "content": "x"}]}, f"authorization: Bearer {LONG}"
            )
            assert told.status == 200
            assert LONG.encode() not in Path(f"/proc/{gateway.process.pid}/cmdline").read_bytes()


def test_without_a_key_not_a_byte_of_a_body_is_waited_for(tmp_path: Path) -> None:
    with provider() as fake, serving(tmp_path, one_provider(fake.url) + KEY) as gateway:
        for framing in (
            "content-length: 1073741824",
            "transfer-encoding: chunked",
            "content-length: 9\r\nexpect: 100-continue",
        ):
            said = _refused(gateway, framing)
            assert said.startswith(b"HTTP/1.1 401 "), said
            assert b"connection: close" in said
            assert b"100 Continue" not in said
        assert fake.bodies == []


def _refused(gateway: Running, framing: str) -> bytes:
    return gateway.raw(f"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n{framing}\r\n\r\n".encode())
