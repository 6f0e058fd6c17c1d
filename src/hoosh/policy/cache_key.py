"""What is cacheable, and what makes two requests the same.

The key is a digest of everything that matters to the answer, in one form whatever the order of keys and the whitespace
of the client's JSON. Left out are whether it is streamed, for both share an entry, and what only the gateway reads.
"""

import hashlib
from collections.abc import Sequence

import msgspec

from hoosh.core.asked import ChatRequest, CompleteRequest, Request
from hoosh.core.cached import CacheRules, KeptAnswer
from hoosh.core.call import Call
from hoosh.core.events import Event, Finish, Raw, ToolDelta
from hoosh.policy.globs import serves

# The version of the form below, and of what entries hold: another one finds nothing of the others'.
FORM = "1"
_LEFT_OUT = frozenset({"stream", "include_usage"})
# Fields of a body that the gateway reads itself.
_OWN = frozenset({"pool"})
# Fields outside the canon by which a provider looks things up elsewhere, or runs what is not the client's: OpenAI's,
# xAI's, OpenRouter's, Anthropic's (their references, 2026-11).
_SERVER_SIDE = frozenset({"web_search_options", "search_parameters", "plugins", "mcp_servers", "container"})
_encode = msgspec.json.Encoder(order="sorted").encode
_json = msgspec.json.Decoder()
_number = msgspec.json.Decoder(float | None)


def tenant_of(rules: CacheRules, call: Call) -> str:
    """Who shares what this call is answered."""
    return tenant_named(rules, call.principal.key_id, call.wishes.pool or call.principal.pool)


def tenant_named(rules: CacheRules, key_id: str, pool: str) -> str:
    if rules.scope == "key":
        return f"key:{key_id}"
    return f"pool:{pool}" if rules.scope == "pool" else ""


def is_of(kept: KeptAnswer, model: str) -> bool:
    """Whether a glob matches the model that was asked for, or the one that answered."""
    return any(serves(name, (model,)) for name in (kept.asked, kept.model, f"{kept.provider}/{kept.model}"))


def cache_key(call: Call, tenant: str) -> bytes | None:
    """32 bytes; None for what has no such form."""
    wishes = call.wishes
    what = {
        "form": FORM,
        "tenant": tenant,
        "dialect": call.dialect,
        "operation": call.request.operation,
        "provider": wishes.provider,
        "local_only": wishes.local_only,
        "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in sorted(call.headers)],
    }
    try:
        return hashlib.sha256(_encode({**what, "request": _plain(call.request)})).digest()
    except (UnicodeEncodeError, RecursionError):
        return None


def why_not(request: Request, rules: CacheRules, *, is_asked: bool) -> str:
    """Why a request is none for the cache; "" where it is one. `is_asked`: the caller named the cache itself."""
    if request.operation == "count":
        return "it counts"
    if isinstance(request, ChatRequest | CompleteRequest):
        if request.n > 1 and not is_asked:
            return "it wants several answers"
        if not rules.sampled and _temperature(request) > 0:
            return "its temperature is above 0"
    if isinstance(request, ChatRequest) and request.foreign_tools:
        return "it has tools of the provider"
    if any(name in _SERVER_SIDE for name, _ in request.extra):
        return "it has tools of the provider"
    return ""


def is_keepable(events: Sequence[Event], rules: CacheRules) -> bool:
    """Of a complete answer."""
    for event in events:
        if isinstance(event, Raw):
            if not is_keepable(event.events, rules):
                return False
        elif isinstance(event, Finish):
            if event.reason == "content_filter" or (event.reason == "tool_calls" and not rules.tool_calls):
                return False
        elif isinstance(event, ToolDelta) and not rules.tool_calls:
            return False
    return True


def _temperature(request: ChatRequest | CompleteRequest) -> float:
    """0 where the client says none: it has not asked for chance."""
    if isinstance(request, ChatRequest):
        return request.sampling.temperature or 0.0
    said = dict(request.extra).get("temperature", b"null")
    try:
        return _number.decode(said) or 0.0
    except msgspec.DecodeError:
        return 0.0


def _plain(value: object, name: str = "") -> object:
    if isinstance(value, msgspec.Struct):
        fields = {field: _field(field, getattr(value, field)) for field in value.__struct_fields__}
        return {"": type(value).__name__, **{field: one for field, one in fields.items() if field not in _LEFT_OUT}}
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    if isinstance(value, bytes) or name == "arguments":
        return _canonical(value)
    return value


def _field(name: str, value: object) -> object:
    """Fields that the canon does not know have no order."""
    if name == "extra" and isinstance(value, tuple):
        return [[field, _canonical(text)] for field, text in sorted(value) if field not in _OWN]
    return _plain(value, name)


def _canonical(text: object) -> object:
    """JSON text as what it means; what is none stays apart from what is."""
    if not isinstance(text, bytes | str) or not text:
        return []
    try:
        return [_json.decode(text)]
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ["", text if isinstance(text, str) else text.decode("latin-1")]
