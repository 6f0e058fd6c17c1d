"""Who has asked for what, and what they get: the state that a replay has between its requests.

A target reads `[/f/OPTIONS][/p/PROVIDER]PATH`: options and provider are taken off, the rest is what the provider's
own server would have been asked for.
"""

import re
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from hoosh.core.errors import BadRequest, HooshError, NotFound
from hoosh.recordings import scrub
from hoosh.recordings.match import Asked, Library, Near
from hoosh.recordings.record import Record, json_or_none
from hoosh.recordings.script import Play, Script, parse_play, perform

LOG_ENTRIES = 1000
# A longer body is not kept in the log.
LOG_BODY_BYTES = 1 << 20
_TARGET = re.compile(r"(?:/f/(?P<options>[^/?]*))?(?:/p/(?P<provider>[^/?]+))?(?P<path>/.*|\?.*|)", re.DOTALL)


class Target(msgspec.Struct, frozen=True):
    options: str
    provider: str
    path: str


class Seen(msgspec.Struct, kw_only=True):
    """One line of the log. `match` is "none" where nothing was found, `left` if the client went before the end."""

    method: str
    provider: str
    path: str
    options: str
    match: Literal["pinned", "exact", "loose", "outline", "none"]
    id: str | None
    body: msgspec.Raw | None
    body_bytes: int
    sent_bytes: int = 0
    left: bool = False


class NotRecorded(NotFound):
    """`near` are the records that differ least."""

    code = "replay_miss"
    kind = "replay_miss"

    def __init__(self, message: str, near: Sequence[Near]) -> None:
        super().__init__(message)
        self.near = tuple(near)


def split_target(target: str) -> Target:
    found = _TARGET.fullmatch(target)
    if found is None:
        raise BadRequest("the path of a replayed request begins with /")
    return Target(found["options"] or "", found["provider"] or "", found["path"] or "/")


class Player:
    def __init__(self, library: Library, play: Play) -> None:
        self.library = library
        self._play = play
        self.reset()

    def reset(self) -> None:
        """As at the start: no log, no pin, every turn at its beginning."""
        self.log: deque[Seen] = deque(maxlen=LOG_ENTRIES)
        self._pins: deque[str] = deque()
        self._turns: dict[tuple[str, ...], int] = {}
        self._met: dict[str, int] = {}

    def pin(self, ids: Iterable[str]) -> None:
        """The next requests get these records, one each and whatever they ask. Raises: BadRequest."""
        wanted = tuple(ids)
        for record_id in wanted:
            self._by_id(record_id)
        self._pins.extend(wanted)

    def answer(self, method: str, target: str, body: bytes, options: str = "") -> tuple[Script, Seen]:
        """What to play, and the line of the log to complete. Raises: BadRequest, NotRecorded."""
        way = split_target(target)
        words = ",".join(filter(None, (way.options, options)))
        play = self._met_fault(words, parse_play(words, self._play))
        asked = Asked(path=way.path, provider=way.provider, method=method, body=body)
        seen = Seen(
            method=method,
            provider=way.provider,
            path=scrub.path_and_query(way.path),
            options=words,
            match="none",
            id=None,
            body=json_or_none(scrub.mask(body)) if body and len(body) <= LOG_BODY_BYTES else None,
            body_bytes=len(body),
        )
        self.log.append(seen)
        record = self._record(asked, play, seen)
        seen.id = record.id
        script = perform(record, play)
        told = ((b"x-replay-id", record.id.encode("ascii", "replace")), (b"x-replay-match", seen.match.encode()))
        return msgspec.structs.replace(script, headers=script.headers + told), seen

    def _record(self, asked: Asked, play: Play, seen: Seen) -> Record:
        if play.record_id or self._pins:
            record = self._by_id(play.record_id or self._pins.popleft())
            seen.match = "pinned"
            return record
        found = self.library.find(asked)
        if found is None:
            raise self._miss(asked)
        seen.match = found.degree
        turn = tuple(record.id for record in found.records)
        count = self._turns[turn] = self._turns.get(turn, -1) + 1
        return found.records[count % len(turn)]

    def _by_id(self, record_id: str) -> Record:
        record = self.library.by_id.get(record_id)
        if record is None:
            raise BadRequest(f"no record has the id {record_id[:80]!r}", param="id")
        return record

    def _met_fault(self, words: str, play: Play) -> Play:
        if play.fault is None or not play.first:
            return play
        count = self._met[words] = self._met.get(words, 0) + 1
        return play if count <= play.first else msgspec.structs.replace(play, fault=None)

    def _miss(self, asked: Asked) -> NotRecorded:
        providers = self.library.providers
        if asked.provider and asked.provider not in providers:
            return NotRecorded(
                f"nothing of a provider {asked.provider!r} is recorded; there is {', '.join(providers)}", ()
            )
        near = self.library.nearest(asked)
        of = f" of {asked.provider}" if asked.provider else ""
        hint = f"; the nearest is {near[0].id}, which differs in {', '.join(near[0].differs[:8])}" if near else ""
        path = scrub.path_and_query(asked.path)
        return NotRecorded(f"no recorded {asked.method} {path[:200]}{of} answers this{hint}", near)


def refusal(error: HooshError) -> Script:
    """How a replay says itself that it cannot answer."""
    near = [msgspec.to_builtins(one) for one in error.near] if isinstance(error, NotRecorded) else []
    told = {"message": error.message, "type": error.kind, "code": error.code, "param": error.param, "nearest": near}
    body = msgspec.json.encode({"error": told})
    return Script(
        status=error.status,
        stop="end",
        headers=((b"content-type", b"application/json"), (b"x-replay-match", b"none")),
        pieces=((0.0, body),),
        length=len(body),
    )
