"""Where a plan may no longer change its mind."""

import pytest

from hoosh.core.events import (
    Event,
    Finish,
    Metered,
    Opened,
    Raw,
    Reasoning,
    Refusal,
    Text,
    ToolDelta,
    Usage,
    has_content,
)

CONTENT: tuple[Event, ...] = (Text("a"), Refusal("a"), Reasoning("a"), ToolDelta(0, name="f"), Finish("stop"))
SILENT: tuple[Event, ...] = (Opened("id"), Metered(Usage()), Raw(b": ping\n\n"), Raw(b"x", (Opened("id"),)))


@pytest.mark.parametrize("event", CONTENT)
def test_content_binds(event: Event) -> None:
    assert has_content(event)
    assert not isinstance(event, Raw)
    assert has_content(Raw(b"x", (Opened("id"), event)))


@pytest.mark.parametrize("event", SILENT)
def test_silence_does_not(event: Event) -> None:
    assert not has_content(event)
