"""What ties calls together, so that they go to the same place and find their prompt in its cache there."""

from hashlib import blake2b

import msgspec

from hoosh.core.asked import ChatRequest, Request
from hoosh.core.routing import Sticky

# OpenAI's and xAI's word for it, in the body.
_CACHE_KEY = "prompt_cache_key"
MAX_CHARS = 256


def session_of(said: str, request: Request, sticky: Sticky) -> str:
    """What the client called it (`said`, by header), else the body's cache key; with "prefix" also how the conversation
    began: all turns of one have that in common. "" for none.
    """
    if sticky == "off":
        return ""
    if said:
        return said[:MAX_CHARS]
    for name, value in request.extra:
        if name == _CACHE_KEY:
            try:
                found = msgspec.json.decode(value, type=str | None)
            except msgspec.DecodeError:
                break
            if found:
                return found[:MAX_CHARS]
    return _beginning(request) if sticky == "prefix" and isinstance(request, ChatRequest) else ""


def _beginning(request: ChatRequest) -> str:
    """Up to the first word of the user, and the tools: what every later turn repeats."""
    digest = blake2b(digest_size=16)
    for tool in request.tools:
        digest.update(tool.name.encode())
    for message in request.messages:
        digest.update(message.role.encode() + b"\0" + message.text.encode("utf-8", "surrogatepass"))
        if message.role == "user":
            break
    return digest.hexdigest()
