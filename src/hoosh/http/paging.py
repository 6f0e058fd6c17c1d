"""Lists in OpenAI's form, a page at a time."""

from collections.abc import Sequence
from urllib.parse import parse_qs

from hoosh.core.batch import Page
from hoosh.core.errors import BadRequest


def page_asked(query: bytes, most: int, usual: int) -> Page:
    """`after`, `limit`, `order` and `purpose` of a query. Raises BadRequest."""
    asked = {name: values[-1] for name, values in parse_qs(query.decode("latin-1")).items()}
    limit = asked.get("limit", str(usual))
    if len(limit) > len(str(most)) or not limit.isdecimal() or not 1 <= int(limit) <= most:
        raise BadRequest(f"limit: expected a number from 1 to {most}", param="limit")
    order = asked.get("order", "desc")
    if order not in ("asc", "desc"):
        raise BadRequest('order: expected "asc" or "desc"', param="order")
    return Page(
        limit=int(limit),
        after=asked.get("after", "")[:128].replace("\0", ""),
        newest_first=order == "desc",
        purpose=asked.get("purpose", "")[:64].replace("\0", ""),
    )


def further(page: Page) -> Page:
    """The same with one more, to see whether there are more."""
    return Page(limit=page.limit + 1, after=page.after, newest_first=page.newest_first, purpose=page.purpose)


def listed(rows: Sequence[dict[str, object]] | None, page: Page) -> dict[str, object]:
    """`rows` may have one more than the page. Raises BadRequest where its place is not known."""
    if rows is None:
        raise BadRequest(f"after: no such object: {page.after[:128]}", param="after")
    shown = rows[: page.limit]
    return {
        "object": "list",
        "data": shown,
        "first_id": shown[0]["id"] if shown else None,
        "last_id": shown[-1]["id"] if shown else None,
        "has_more": len(rows) > len(shown),
    }
