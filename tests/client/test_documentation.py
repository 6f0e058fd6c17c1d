"""The examples of docs/client.md, each run as a program: before a real gateway, or before the contract of what they use."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from budget_gateway import KEY, budget_gateway
from gateway import PATIENCE_S, clean_environ, one_provider, provider, serving

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = re.findall(
    r"^```python\n(.*?)^```", (ROOT / "docs" / "client.md").read_text("utf-8"), re.MULTILINE | re.DOTALL
)
BY_CONTRACT = re.compile(r"\.(tokens|transcribe|embeddings)\b")


@pytest.fixture(scope="module")
def chat_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with provider() as fake, serving(tmp_path_factory.mktemp("examples"), one_provider(fake.url)) as running:
        yield running.url


@pytest.fixture(scope="module")
def contract_url() -> Iterator[str]:
    with budget_gateway() as server:
        yield server.url


def test_there_are_examples_of_both_kinds() -> None:
    assert {bool(BY_CONTRACT.search(example)) for example in EXAMPLES} == {True, False}


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_an_example_runs(example: str, chat_url: str, contract_url: str, tmp_path: Path) -> None:
    (tmp_path / "talk.wav").write_bytes(b"RIFF" + bytes(100))
    url = contract_url if BY_CONTRACT.search(example) else chat_url
    environ = clean_environ(tmp_path, HOOSH_URL=url, HOOSH_API_KEY=KEY, HOOSH_MODEL="echo")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", example],
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "failed:" not in done.stdout
    assert len(done.stdout) > 8
