"""How a provider's requests differ from its dialect: small named functions over the JSON body.

A value at the top of a body that is passed on is still JSON text (msgspec.Raw), so that what no quirk touches keeps
its bytes; `value` reads either kind.
"""

import hashlib
import re
from collections.abc import Callable, Mapping

import msgspec

from hoosh.dialects import JSON, ForModels, Quirk

# Where each dialect keeps its bound on the answer.
_OUTPUT_BOUNDS = (
    ("", "max_tokens"),
    ("", "max_completion_tokens"),
    ("", "max_output_tokens"),
    ("generationConfig", "maxOutputTokens"),
    ("options", "num_predict"),
)
_OUTPUT_BOUND_OF = {
    "openai_chat": ("", "max_completion_tokens"),
    "openai_completions": ("", "max_tokens"),
    "openai_responses": ("", "max_output_tokens"),
    "anthropic_messages": ("", "max_tokens"),
    "gemini": ("generationConfig", "maxOutputTokens"),
    "ollama": ("options", "num_predict"),
    "ollama_generate": ("options", "num_predict"),
}
# Fields of OpenAI's own that a provider with a closed list of fields refuses.
OPENAI_ALONE = (
    *("user", "safety_identifier", "logprobs", "top_logprobs", "logit_bias", "top_k", "min_p", "store", "service_tier"),
    *("modalities", "audio", "verbosity", "web_search_options", "functions", "function_call"),
)
# Letters and digits without those that look alike.
_ID_CHARS = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_json = msgspec.json.Decoder()


def value(body: JSON, name: str) -> object:
    """None where there is no such field."""
    given = body.get(name)
    return _json.decode(given) if isinstance(given, msgspec.Raw) else given


def cap_output(limit_tokens: int) -> Quirk:
    """No answer may be asked to be longer than `limit_tokens`."""

    def quirk(body: JSON) -> None:
        for holder, key in _OUTPUT_BOUNDS:
            fields = value(body, holder) if holder else body
            if not isinstance(fields, dict):
                continue
            bound = value(fields, key)
            if isinstance(bound, int) and bound > limit_tokens:
                fields[key] = limit_tokens
                if holder:
                    body[holder] = fields

    return quirk


def limit_output(dialect: str, limit_tokens: int) -> Quirk:
    """Say a limit on the answer, for a client that said none, where `dialect` keeps it."""
    holder, key = _OUTPUT_BOUND_OF[dialect]

    def quirk(body: JSON) -> None:
        if not holder:
            body[key] = limit_tokens
            return
        fields = value(body, holder)
        body[holder] = {**(fields if isinstance(fields, dict) else {}), key: limit_tokens}

    return quirk


def drop(*names: str) -> Quirk:
    def quirk(body: JSON) -> None:
        for name in names:
            body.pop(name, None)

    return quirk


def rename(old: str, new: str) -> Quirk:
    """`old` wins where both are given: the provider does not know it, so a client that says both means `old`."""

    def quirk(body: JSON) -> None:
        if old in body:
            body[new] = body.pop(old)

    return quirk


def say(name: str, words: Mapping[str, str]) -> Quirk:
    """Other words for the values of one field."""

    def quirk(body: JSON) -> None:
        if isinstance(given := value(body, name), str) and given in words:
            body[name] = words[given]

    return quirk


def for_models(pattern: str, quirk: Quirk) -> Quirk:
    """`quirk` only where the model's name begins with the regular expression `pattern`."""
    return ForModels(re.compile(pattern), quirk)


def in_messages(*changes: Callable[[JSON], None], mark: bytes = b"") -> Quirk:
    """`changes` are made to each message; none where the messages' JSON text does not hold `mark`."""

    def quirk(body: JSON) -> None:
        given = body.get("messages")
        if isinstance(given, msgspec.Raw) and mark not in bytes(given):
            return
        messages = value(body, "messages")
        for message in messages if isinstance(messages, list) else ():
            for change in changes:
                change(message)
        body["messages"] = messages

    return quirk


def developer_is_system(message: JSON) -> None:
    """`developer` is OpenAI's newer word for the same role."""
    if message.get("role") == "developer":
        message["role"] = "system"


def keeps_only(*names: str) -> Callable[[JSON], None]:
    """A message may have no other fields, and none is null but `content`."""

    def change(message: JSON) -> None:
        for name in [name for name in message if name not in names or (message[name] is None and name != "content")]:
            del message[name]

    return change


def only_users_have_names(message: JSON) -> None:
    if message.get("role") != "user":
        message.pop("name", None)


def text_only(message: JSON) -> None:
    """Content as one text; what is not text is lost."""
    content = message.get("content")
    if isinstance(content, list):
        parts = [_json.decode(part) if isinstance(part, msgspec.Raw) else part for part in content]
        message["content"] = "\n".join(str(part.get("text") or "") for part in parts if part.get("type") == "text")
    elif content is None:
        message["content"] = ""


def nine_character_ids(message: JSON) -> None:
    """Tool call ids of exactly nine letters and digits; the same id always becomes the same, call and answer alike."""
    for call in message.get("tool_calls") or ():
        call["id"] = _nine(call.get("id"))
    if "tool_call_id" in message:
        message["tool_call_id"] = _nine(message["tool_call_id"])


# What servers after OpenAI's model take that have not followed it in everything.
COMPATIBLE: tuple[Quirk, ...] = (
    rename("max_completion_tokens", "max_tokens"),
    in_messages(developer_is_system, mark=b"developer"),
)


def _nine(given: object) -> str:
    text = str(given or "")
    if len(text) == 9 and text.isascii() and text.isalnum():
        return text
    digest = hashlib.sha256(text.encode()).digest()
    return "".join(_ID_CHARS[byte % len(_ID_CHARS)] for byte in digest[:9])
