"""`reached(row, figure)`: what a fault test measured, for the table of docs/reliability.md (fault/table.py)."""

import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

KEPT = Path(__file__).parent / "reached.json"
Reached = Callable[[str, str], None]


@pytest.fixture
def reached(request: pytest.FixtureRequest) -> Iterator[Reached]:
    """Printed always; kept, with the day, only by `make faults` and only if the test passes."""
    figures: dict[str, str] = {}

    def note(row: str, figure: str) -> None:
        figures[row] = figure
        print(f"{row}: {figure}")

    yield note
    failed_before = request.session.testsfailed
    if os.environ.get("HOOSH_WRITE_TABLE") and figures and not failed_before:
        kept = json.loads(KEPT.read_text("utf-8")) if KEPT.exists() else {}
        day = datetime.now(UTC).date().isoformat()
        kept.update(
            {f"{row} {request.node.name}": {"row": row, "figure": text, "day": day} for row, text in figures.items()}
        )
        KEPT.write_text(json.dumps(dict(sorted(kept.items())), indent=1, ensure_ascii=False) + "\n", "utf-8")
