"""How a provider's replies differ from its dialect: small named functions that put one JSON payload right, and say
whether they changed it. A payload is a whole reply or one chunk of a stream.
"""

import re

from hoosh.codecs.json import JSON

_FILE = re.compile(r"(?:/|\.{1,2}/|~/|[A-Za-z]:\\|\\\\)|.*\.gguf$", re.IGNORECASE)
_SLASH = re.compile(r"[/\\]")


def no_empty_calls(payload: JSON) -> bool:
    """Mistral and LM Studio: an answer without calls has null or an empty list of them, which agents take for calls."""
    changed = False
    for answer in _answers(payload):
        if "tool_calls" in answer and not answer["tool_calls"]:
            del answer["tool_calls"]
            changed = True
    return changed


def usage_on_top(payload: JSON) -> bool:
    """Groq: without `stream_options` the usage of a stream is in `x_groq` alone."""
    extra = payload.get("x_groq")
    if payload.get("usage") or not isinstance(extra, dict) or not extra.get("usage"):
        return False
    payload["usage"] = extra["usage"]
    return True


def model_without_path(payload: JSON) -> bool:
    """llama.cpp: `model` may be the file that was loaded; where it lies is nobody's business."""
    model = payload.get("model")
    if not isinstance(model, str) or not _SLASH.search(model) or not _FILE.match(model):
        return False
    payload["model"] = _SLASH.split(model)[-1]
    return True


def _answers(payload: JSON) -> list[JSON]:
    choices = _objects(payload.get("choices"))
    return _objects([choice.get(form) for choice in choices for form in ("delta", "message")])


def _objects(given: object) -> list[JSON]:
    """Those items of a list that are objects; what has another shape is the reader's to refuse."""
    return [item for item in given if isinstance(item, dict)] if isinstance(given, list) else []
