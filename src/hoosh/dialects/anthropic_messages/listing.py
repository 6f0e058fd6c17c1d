"""The list of models as Anthropic's clients read it.

Source: https://platform.claude.com/docs/en/api/models/list (read 2026-11): a release date that is not known is the
epoch. All models are on one page.
"""

from collections.abc import Sequence

from hoosh.codecs.json import JSON

UNKNOWN_DATE = "1970-01-01T00:00:00Z"


def page(names: Sequence[str]) -> JSON:
    return {
        "data": [entry(name) for name in names],
        "has_more": False,
        "first_id": names[0] if names else None,
        "last_id": names[-1] if names else None,
    }


def entry(name: str) -> JSON:
    return {
        "type": "model",
        "id": name,
        "display_name": name,
        "created_at": UNKNOWN_DATE,
        "lifecycle": "active",  # what is listed can be called
    }
