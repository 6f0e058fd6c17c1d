"""simonw's llm, as a command with a configured model."""

import os
import pathlib
import subprocess
import sys
import tempfile

from said import QUESTION, report

with tempfile.TemporaryDirectory() as home:
    rows = f"- model_id: say\n  model_name: say\n  api_base: {sys.argv[1]}\n  api_key_name: hoosh\n"
    pathlib.Path(home, "extra-openai-models.yaml").write_text(rows)
    environ = {**os.environ, "LLM_USER_PATH": home}
    command = [sys.executable, "-m", "llm", "-m", "say", "--key", "any", QUESTION]
    answers = [
        subprocess.run([*command, *flags], env=environ, capture_output=True, text=True, check=True).stdout.strip()
        for flags in (["--no-stream"], [])
    ]
report(text=answers[0], streamed=answers[1])
