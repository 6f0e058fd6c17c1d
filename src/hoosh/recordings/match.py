"""Which recorded exchange answers a request. Three degrees, the first that finds something counts:

- exact: same method, path and body; of JSON, whatever the order of its keys and without those that are null.
- loose: without what changes an answer's cost or cache but not its words (`user`, `metadata`, `seed`, `n`, ...), with
  the model's name without its vendor.
- outline: the same texts by the same roles, the same tools, streamed or not.

A provider's name, where the request gives one, is never stretched.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from hoosh.recordings import scrub
from hoosh.recordings.record import Record

Degree = Literal["exact", "loose", "outline"]
Value = object  # of JSON

_LOOSE = frozenset(
    {"stream_options", "user", "metadata", "seed", "n", "store", "service_tier", "safety_identifier"}
    | {"prompt_cache_key", "parallel_tool_calls", "random_seed"}
)
_OPTIONS = frozenset({"generationConfig", "options"})  # Gemini and Ollama keep the seed in there
_TALK = ("system", "systemInstruction", "system_instruction", "instructions", "messages", "contents", "input", "prompt")
_MORE = ("query", "documents", "texts")
_WORDS = frozenset(
    {"text", "content", "input", "prompt", "query", "output", "arguments", "args", "name", *_TALK, *_MORE}
)
_ENDPOINT = re.compile(
    r"(?<=/)(?:chat/completions|completions|embeddings|responses|messages/count_tokens|messages|models/[^/:]+:\w+"
    r"|models|api/\w+|rerank|moderations|audio/\w+)(?=\?|$)"
)
_GEMINI_MODEL = re.compile(r"models/[^/:]+:")
_DEGREES: tuple[Degree, ...] = ("exact", "loose", "outline")
NEAREST = 3


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A request for a recorded answer. `provider` "" means whoever has one."""

    path: str
    provider: str = ""
    method: str = "POST"
    body: bytes = b""


class Near(msgspec.Struct, frozen=True):
    """A record that does not match, and the parts of the request in which it differs."""

    id: str
    differs: tuple[str, ...]


class Found(msgspec.Struct, frozen=True):
    """All records of the best degree, in the order of recording."""

    degree: Degree
    records: tuple[Record, ...]


class Library:
    """Records, and where each would be looked for."""

    def __init__(self, records: Iterable[Record]) -> None:
        self.records = tuple(records)
        self.by_id = {record.id: record for record in reversed(self.records)}
        self._shelves: dict[tuple[Degree, str, bytes], list[Record]] = {}
        self._parts: list[tuple[Record, dict[str, bytes]]] = []
        for record in self.records:
            if record.request_unknown:
                continue
            asked = Asked(path=record.url_path, method=record.method, body=record.request)
            for degree, key in _keys(asked):
                for provider in (record.provider, ""):
                    self._shelves.setdefault((degree, provider, key), []).append(record)
            self._parts.append((record, _parts(asked)))

    @property
    def providers(self) -> tuple[str, ...]:
        """In the order of recording."""
        return tuple(dict.fromkeys(record.provider for record in self.records))

    def find(self, asked: Asked) -> Found | None:
        """What the gateway itself broke off stands in only where nothing else matches."""
        for degree, key in _keys(asked):
            if shelf := self._shelves.get((degree, asked.provider, key)):
                whole = tuple(record for record in shelf if record.is_whole)
                return Found(degree, whole or tuple(shelf))
        return None

    def nearest(self, asked: Asked) -> tuple[Near, ...]:
        """Of the same provider, those that differ in the fewest parts of the request."""
        wanted = _parts(asked)
        near = [
            Near(record.id, tuple(_differences(wanted, parts)))
            for record, parts in self._parts
            if asked.provider in ("", record.provider)
        ]
        return tuple(sorted(near, key=lambda one: len(one.differs))[:NEAREST])


def endpoint(path: str) -> str:
    """The end of a path that says what is asked for, without where the API begins."""
    found = _ENDPOINT.search(path)
    return found[0] if found else path.partition("?")[0]


def base_path(record: Record) -> str:
    """What goes before the request's own path: told by the record, else guessed from where such paths begin."""
    if record.base_url:
        return urlsplit(record.base_url).path
    path = record.url_path.partition("?")[0]
    found = _ENDPOINT.search(path)
    if found is None or path.startswith(("/api/", "/v1beta/")) or found[0].startswith("messages"):
        return ""
    return path[: found.start() - 1]


def bases(library: Library) -> list[tuple[str, str, int]]:
    """Each provider, where its API begins in most of its records, and how many there are."""
    found = []
    for name in library.providers:
        counts = Counter(base_path(record) for record in library.records if record.provider == name)
        found.append((name, counts.most_common(1)[0][0], counts.total()))
    return found


def wants_stream(path: str, value: Value) -> bool:
    if "streamGenerateContent" in path:
        return True
    stream = value.get("stream") if isinstance(value, dict) else None
    return bool(stream) or (stream is None and endpoint(path) in ("api/chat", "api/generate"))  # Ollama's default


def value_of(body: bytes) -> Value:
    """The JSON value; bytes that are none stay what they are."""
    try:
        return _plain(msgspec.json.decode(body))
    except (msgspec.DecodeError, RecursionError):
        return body


def _keys(asked: Asked) -> Iterator[tuple[Degree, bytes]]:
    path, value = scrub.path_and_query(asked.path), value_of(scrub.mask(asked.body))
    end = endpoint(path)
    if isinstance(value, bytes):  # no body, or one that cannot be looked into
        yield "exact", _digest(asked.method, path, sha256(value).hexdigest())
        yield "loose", _digest(asked.method, end, sha256(value).hexdigest())
        return
    yield "exact", _digest(asked.method, path, value)
    yield "loose", _digest(asked.method, end, _loosened(value))
    if isinstance(value, dict) and any(key in value for key in (*_TALK, *_MORE)):
        kind = _GEMINI_MODEL.sub("models/:", end)
        yield "outline", _digest(asked.method, kind, _outline(value), wants_stream(path, value))


def _digest(*parts: Value) -> bytes:
    return sha256(msgspec.json.encode(parts, order="sorted")).digest()


def _plain(value: Value) -> Value:
    """Without keys that are null; 1.0 is 1."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _loosened(value: Value) -> Value:
    if not isinstance(value, dict):
        return value
    kept = {key: inner for key, inner in value.items() if key not in _LOOSE}
    if isinstance(model := kept.get("model"), str):
        kept["model"] = model.rpartition("/")[2]
    for key in _OPTIONS & kept.keys():
        if isinstance(options := kept[key], dict):
            kept[key] = {name: inner for name, inner in options.items() if name not in _LOOSE}
    return kept


def _outline(value: dict[str, Value]) -> Value:
    talk = [list(_turns(value[key])) for key in (*_TALK, *_MORE) if key in value]
    return [talk, sorted(_tool_names(value.get("tools")))]


def _turns(value: Value) -> Iterator[Value]:
    """Role and texts of each message: a string and a list with one block of text say the same."""
    for turn in value if isinstance(value, list) else [value]:
        role = turn.get("role", turn.get("type", "")) if isinstance(turn, dict) else ""
        yield [role, [text for text in _texts(turn, "text") if text]]


def _texts(value: Value, key: str) -> Iterator[str]:
    if isinstance(value, str):
        if key in _WORDS:
            yield value.strip()
    elif isinstance(value, dict):
        for name, inner in sorted(value.items()):
            if name in ("args", "arguments", "response"):  # a tool's call or its answer, in whatever shape
                yield _flat(inner)
            else:
                yield from _texts(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner, key)


def _flat(value: Value) -> str:
    """Arguments in a string of JSON say the same as those in an object."""
    if isinstance(value, str):
        inner = value_of(value.encode())
        value = value if isinstance(inner, bytes) else inner
    return msgspec.json.encode(value, order="sorted").decode()


def _tool_names(tools: Value) -> Iterator[str]:
    for tool in tools if isinstance(tools, list) else ():
        if not isinstance(tool, dict):
            continue
        declared = tool.get("functionDeclarations", tool.get("function_declarations", [tool]))
        for one in declared if isinstance(declared, list) else ():
            if isinstance(one, dict):
                inner = one.get("function", one)
                yield str(inner.get("name", inner.get("type"))) if isinstance(inner, dict) else ""


def _parts(asked: Asked) -> dict[str, bytes]:
    path, value = scrub.path_and_query(asked.path), value_of(scrub.mask(asked.body))
    body = value if isinstance(value, dict) else {"body": value}
    parts = {"method": asked.method, "path": path, **body}
    return {name: _digest(part) for name, part in parts.items()}


def _differences(one: dict[str, bytes], other: dict[str, bytes]) -> Iterator[str]:
    return (key for key in sorted(one.keys() | other.keys()) if one.get(key) != other.get(key))
