"""Client libraries as their users have them, unmodified, each a program of its own that asks a running gateway.

They live in an environment apart (`make clients`), for they bring more than hoosh does. Nothing but loopback can be
reached from there, so a client that needs anything else fails.
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compat.scripted import ANSWER, JSON_ANSWER, MODELS, Scripted, scripted
from gateway import PATIENCE_S, PATIENT, QUIET, Running, clean_environ, serving

pytestmark = pytest.mark.slow
ENVIRONMENT = Path(__file__).parents[2] / "build" / "clients"
PROGRAMS = ENVIRONMENT / "programs"
# Nobody listens on the port for discarding.
NOWHERE = "http://127.0.0.1:9"
OFFLINE = {"HTTP_PROXY": NOWHERE, "HTTPS_PROXY": NOWHERE, "NO_PROXY": "127.0.0.1,localhost"}
FULL = {"text": ANSWER, "streamed": ANSWER, "tool": "The tool says: sunny", "limited": "7"}
STRUCTURED = {"structured": json.loads(JSON_ANSWER)}
SAID: dict[str, dict[str, Any]] = {
    "groq_sdk.py": FULL,
    "instructor_sdk.py": STRUCTURED,
    "langchain_openai_sdk.py": FULL | STRUCTURED,
    "litellm_sdk.py": FULL,
    "llama_index_sdk.py": FULL,
    "llm_cli.py": {"text": ANSWER, "streamed": ANSWER},
    "mistralai_sdk.py": FULL,
    "openai_node.mjs": FULL,
    "pydantic_ai_sdk.py": FULL,
    "vercel_ai.mjs": FULL | STRUCTURED,
}


@pytest.fixture(scope="module")
def provider() -> Iterator[Scripted]:
    with scripted() as server:
        yield server


@pytest.fixture(scope="module")
def gateway(provider: Scripted, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    config = (
        f'{QUIET}\n{PATIENT}[retry]\ntries = 1\n[[providers]]\ntype = "openai"\nname = "scripted"\nbase_url = "{provider.url}"\n'
        f'api_key = "sk-of-the-gateway"\nmodels = {json.dumps(MODELS)}\n'
    )
    with serving(tmp_path_factory.mktemp("gateway"), config) as running:
        yield running


def test_every_program_is_run() -> None:
    here = Path(__file__).parent / "clients"
    assert {path.name for path in here.iterdir() if path.suffix in (".py", ".mjs")} == {*SAID, "said.py", "said.mjs"}


@pytest.mark.parametrize("program", sorted(SAID))
def test_a_client_is_told_what_its_provider_said(program: str, gateway: Running, tmp_path: Path) -> None:
    if not PROGRAMS.is_dir():
        pytest.skip("the clients are not installed: make clients")
    interpreter = "node" if program.endswith(".mjs") else "python"
    told = subprocess.run(
        [ENVIRONMENT / "bin" / interpreter, PROGRAMS / program, f"{gateway.url}/v1"],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        env=clean_environ(tmp_path, **OFFLINE),
    )
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout.splitlines()[-1]) == SAID[program]
