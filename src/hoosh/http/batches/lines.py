"""The lines of a batch's file, and of the files that are made of it."""

from collections.abc import Mapping

import msgspec

from hoosh.core.batch import LineProblem

ENDPOINTS = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/moderations", "/v1/responses")
MAX_CUSTOM_ID_CHARS = 512
_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_text = msgspec.json.Decoder(str).decode
_custom_id = msgspec.json.Decoder(dict[str, str]).decode
_encode = msgspec.json.Encoder().encode


class NotAnObject(ValueError):
    """Not the JSON text of an object."""


class Asked(msgspec.Struct, frozen=True):
    """`body` is the JSON text of an object."""

    custom_id: str
    body: bytes


def fields_of(line: bytes) -> Mapping[str, msgspec.Raw]:
    """Raises NotAnObject."""
    try:
        return _decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise NotAnObject from None


def read_line(line: bytes, number: int, endpoint: str, seen: set[str]) -> Asked | LineProblem:
    """`number` counts from 1; `seen` has the ids before it, and gets this one's."""

    def wrong(code: str, message: str, param: str | None = None) -> LineProblem:
        return LineProblem(code=code, message=message, line=number, param=param)

    try:
        fields = fields_of(line)
    except NotAnObject:
        return wrong("invalid_json_line", "This line is not parseable as a JSON object.")
    custom_id = _string(fields, "custom_id")
    if not custom_id:
        return wrong("invalid_custom_id", "custom_id: expected a text that is not empty", "custom_id")
    if len(custom_id) > MAX_CUSTOM_ID_CHARS:
        return wrong("invalid_custom_id", f"custom_id: longer than {MAX_CUSTOM_ID_CHARS} characters", "custom_id")
    if custom_id in seen:
        return wrong("duplicate_custom_id", f'custom_id: "{custom_id}" is that of a line before, too', "custom_id")
    seen.add(custom_id)
    if _string(fields, "method") != "POST":
        return wrong("invalid_method", 'method: expected "POST"', "method")
    if _string(fields, "url") != endpoint:
        return wrong("invalid_url", f'url: expected "{endpoint}", which is the batch\'s endpoint', "url")
    try:
        body = fields_of(bytes(fields.get("body", b"")))
    except NotAnObject:
        return wrong("invalid_body", "body: expected a JSON object", "body")
    for name in ("stream", "background"):
        if bytes(body.get(name, b"null")) not in (b"null", b"false"):
            return wrong("invalid_body", f"body.{name}: not in a batch", f"body.{name}")
    return Asked(custom_id, bytes(fields["body"]))


def kept(asked: Asked) -> bytes:
    """As a batch keeps it until it is asked."""
    return _encode({"custom_id": asked.custom_id, "body": msgspec.Raw(asked.body)})


def asked_of(data: bytes) -> Asked:
    """Of what `kept` made."""
    return msgspec.convert({name: _value(name, raw) for name, raw in _decode(data).items()}, Asked)


def answered(line_id: str, asked: Asked, status: int, request_id: str, body: bytes) -> bytes:
    """A line of an output file."""
    try:
        fields_of(body)
        told: object = msgspec.Raw(msgspec.json.format(body, indent=-1))  # on one line
    except NotAnObject:
        told = body.decode("utf-8", "replace")
    response = {"status_code": status, "request_id": request_id, "body": told}
    return _encode({"id": line_id, "custom_id": asked.custom_id, "response": response, "error": None})


def unasked(line_id: str, asked: Asked, code: str, message: str) -> bytes:
    """A line of an error file, of what was never asked."""
    error = {"code": code, "message": message}
    return _encode({"id": line_id, "custom_id": asked.custom_id, "response": None, "error": error})


def _string(fields: Mapping[str, msgspec.Raw], name: str) -> str:
    try:
        return _text(fields[name])
    except (KeyError, msgspec.DecodeError):
        return ""


def _value(name: str, raw: msgspec.Raw) -> str | bytes:
    return _text(raw) if name == "custom_id" else bytes(raw)
