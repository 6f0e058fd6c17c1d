"""What the engine needs of the world. Stores and transports implement these; the engine never imports them."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from hoosh.core.batch import Batch as RequestBatch
from hoosh.core.batch import Counts, LineState, Page, Running, Status, StoredFile
from hoosh.core.batch import Line as BatchLine
from hoosh.core.cached import CacheStanding, KeptAnswer
from hoosh.core.call import Account, Hold, Receipt, Settlement, Ticket
from hoosh.core.errors import HooshError
from hoosh.core.kept import KeptResponse
from hoosh.core.ledger import Amount, Asked, Audit, Batch, Line, Standing, UsageKey, UsageSum
from hoosh.core.ledger import Reply as LedgerReply
from hoosh.core.limit import Gauge, Limit, Refusal
from hoosh.core.local_model import LocalModel
from hoosh.core.plan import Target
from hoosh.core.pool import Terms
from hoosh.core.principal import Principal
from hoosh.core.quote import Quote
from hoosh.core.turned_away import TurnedAway
from hoosh.core.wire import Timeouts, WireRequest
from hoosh.dialects import Encoders

Relay = Callable[[Encoders, "Sink"], Awaitable[None]]


class Reply(Protocol):
    """One reply of a provider. Leaving its context before the end aborts the exchange."""

    status: int
    headers: dict[bytes, bytes]

    async def read(self) -> bytes:
        """The next piece, b"" at the end. Not reading stops the provider (back-pressure).

        Raises: Truncated, Idle, BadUpstream (reply too large).
        """


class Transport(Protocol):
    def exchange(self, base_url: str, request: WireRequest, timeouts: Timeouts) -> AbstractAsyncContextManager[Reply]:
        """Send `request` below `base_url`; enter with the reply's status and headers.

        Raises on entry: ConnectFailed, Reset, NoFirstEvent, BadUpstream.
        """


class Keys(Protocol):
    def identify(self, token: str | None) -> Principal:
        """Raises: Unauthorized; StoreFailed where it cannot be known."""

    def recall(self, token: str) -> Principal | None:
        """Who showed this token before, if it is still good: it takes a look-up and tells a stranger nothing."""


class Peppers(Protocol):
    """The secrets that digests of keys are made with. They are never where the digests are."""

    async def known(self) -> Mapping[str, bytes]:
        """By the name that is kept beside a digest. Raises StoreFailed."""

    async def newest(self) -> bytes:
        """The one for new keys; it is made where there is none. Raises StoreFailed."""


class Permit(Protocol):
    """What one call has taken of its limits."""

    def give_back(self, tokens: int) -> None:
        """The call is over and used so many: the rest is free again, what it used more is owed. Never awaits, never
        raises; only the first time counts.
        """


class Limits(Protocol):
    """Nothing here awaits, so that no cancellation comes between what is taken and who gives it back."""

    def take(self, limits: Sequence[Limit], tokens: int) -> Permit | Refusal:
        """Take one request, one call and `tokens` (an upper bound) of all `limits`, or of none and say why not."""

    def gauges(self, limits: Sequence[Limit]) -> Sequence[Gauge]:
        """How they stand now; calls at once are left out."""


class Budgets(Protocol):
    def terms(self, pool: str, key_id: str, agent: str) -> Terms:
        """What a call is under that asks for `pool`: that one, its key's own and its agent's where there are such.
        Raises BadRequest (no such pool).
        """

    async def reserve(self, hold: Hold) -> None:
        """Set `hold.amount` aside in all its pools and those above them, until it is settled.

        Idempotent by `hold.id` while it is open; all or nothing; a hold of nothing (a count, say) is never too much.
        A cancelled call must settle the id all the same.
        Raises: BudgetExceeded, BadRequest (no such pool), StoreFailed.
        """

    async def extend(self, hold_id: str, more: Amount) -> None:
        """Set more aside for an open hold. Raises as `reserve` does, and then holds what it held."""

    def settle(self, settlement: Settlement) -> None:
        """Replace a hold by what was used: in memory at once, in the store soon. Never awaits, never raises.

        Idempotent by id; what was never reserved is booked all the same.
        """

    def percent_used(self, pools: tuple[str, ...]) -> int:
        """Of the ceilings of these pools and those above them, the fullest: what calls hold counts as used."""

    async def flush(self) -> None:
        """Wait until the store has all that was settled before. Raises StoreFailed."""


class Prices(Protocol):
    def quote(self, target: Target, kind: str) -> Quote:
        """`kind` is the provider's type. Raises Unpriced where no call may go to a model of unknown price."""


class Spool(Protocol):
    """Where lines outlive a process that dies before the store has them. None of it blocks."""

    def put(self, record: bytes) -> None:
        """Raises StoreFailed where there is no room."""

    def mark(self) -> int:
        """How far it has come."""

    def forget(self, mark: int) -> None:
        """The store has all that was put before `mark`."""


class Ledger(Protocol):
    """A store of lines and leases (core.ledger says what they mean), shared by any number of gateways.

    Each method is one atomic step. All raise StoreFailed where the store cannot do its work; whether the step was
    done is then not known, and doing it again changes nothing more.
    """

    async def open(self) -> str:
        """Make what is missing, and say the store's epoch: a name that it got when it was new."""

    async def sync(self, batch: Batch) -> LedgerReply:
        """In this order: renew the gateway's time, book the lines, set the leases.

        A line is booked if its state is higher than that known (RANK); `held`, `scopes`, `gateway`, `reserved_ms` and
        `expires_ms` stay those of the first telling, but an open line told again holds the larger amount.
        What open lines without a gateway hold counts against the ceiling, as bookings and leases do.
        A lease becomes `max(min(granted before, keep), min(want, left))`, each meter by itself; where there is no
        ceiling nothing is leased. Raises StoreFailed with code "store_replaced" where `batch.epoch` is not the store's.
        """

    async def sweep(self) -> int:
        """Close what has run out by the store's clock, and say how many lines that were: those of gateways whose time
        is over, and the store's own holds. "held" becomes "voided"; "sent" becomes "estimated", charged what was held.
        The leases of such a gateway end, but with a journal they stay, stranded, until `reconcile`.
        """

    async def reconcile(self, gateway: str) -> None:
        """The journal of a dead gateway was told: close what it has open as `sweep` does, and end its leases."""

    async def carry(self, pool: str, bucket_s: int, extra: Amount) -> Amount:
        """Fix what a window gets from the one before. The first to say it is right; the answer is what stands."""

    async def standing(self, asked: Sequence[Asked]) -> Sequence[Standing]: ...

    async def line(self, line_id: str) -> Line | None: ...

    async def usage(self, from_day_s: int, to_day_s: int) -> Sequence[tuple[UsageKey, UsageSum]]:
        """Sums of the days from `from_day_s` to before `to_day_s`."""

    async def prune(self, before_ms: int) -> int:
        """Forget closed lines that were settled before; sums and counters stay. Says how many."""

    async def audit(self) -> Audit: ...

    async def close(self) -> None: ...


class Responses(Protocol):
    """Responses that a client may come back to. Each belongs to an owner (a key), and nobody else finds it.

    All raise StoreFailed where the store cannot do its work.
    """

    async def put(self, kept: KeptResponse) -> None:
        """Keep it, in place of the one with its id and owner. The oldest go where there are too many."""

    async def get(self, owner: str, response_id: str) -> KeptResponse | None: ...

    async def drop(self, owner: str, response_id: str) -> bool:
        """Whether it was there."""

    async def end(self, owner: str, response_id: str) -> bool:
        """Ask the process that runs it to end it; whether there is one."""

    async def ending(self) -> Sequence[tuple[str, str]]:
        """Owner and id of those that run in this process and shall end."""

    async def close(self) -> None: ...


class AnswerMemory(Protocol):
    """Answers in this process; nothing here awaits. Those not used longest go where there are too many."""

    @property
    def standing(self) -> CacheStanding: ...

    @property
    def evictions(self) -> int:
        """How many had to go for others."""

    def get(self, key: bytes, now_s: int) -> KeptAnswer | None: ...

    def put(self, kept: KeptAnswer, max_bytes: int) -> None:
        """Keep it, in place of the one with its key, as far as all are no larger than `max_bytes`."""

    def drop(self, key: bytes) -> None: ...

    def purge(self, tenant: str | None, model: str) -> int:
        """Forget those of a tenant (None: of all) whose model matches a glob; how many they were."""

    def of_tenant(self, tenant: str) -> CacheStanding: ...


class AnswerStore(Protocol):
    """Answers that processes share. All raise StoreFailed where it cannot do its work; then they do without."""

    async def get(self, key: bytes, now_s: int) -> KeptAnswer | None: ...

    async def put(self, kept: KeptAnswer, max_bytes: int) -> None:
        """Keep it, in place of the one with its key; the oldest go where all are larger than `max_bytes`."""

    async def purge(self, tenant: str | None, model: str) -> int:
        """As AnswerMemory's."""

    async def close(self) -> None: ...


class Caching(Protocol):
    """What may answer in place of a provider."""

    async def serve(self, account: Account, dialect: Encoders, sink: "Sink", relay: Relay) -> None:
        """Answer; with `relay`, which asks a provider, where there is no other way. Raises what that raises."""


class Files(Protocol):
    """Files that a client has left. Each belongs to an owner (a key), and nobody else finds it.

    One is found once all of it is there. All raise StoreFailed where the store cannot do its work.
    """

    async def begin_file(self, file: StoredFile, most_bytes: int | None) -> bool:
        """Make room for it; whether there is, where files and batches may take no more than `most_bytes`."""

    async def add_piece(self, file_id: str, n: int, data: bytes) -> None: ...

    async def end_file(self, file_id: str, size_bytes: int) -> None: ...

    async def file(self, owner: str, file_id: str, now_s: int) -> StoredFile | None: ...

    async def files(self, owner: str, page: Page, now_s: int) -> Sequence[StoredFile] | None:
        """None where the one that the page begins after is not there."""

    async def piece(self, file_id: str, n: int) -> bytes:
        """Counted from 0; b"" after the last."""

    async def drop_file(self, file_id: str) -> None: ...


class Batches(Protocol):
    """Batches and their lines. A batch is run by the process that has claimed it, and only what that one says of it
    counts; it may be claimed again once that one is dead.

    All raise StoreFailed where the store cannot do its work.
    """

    @property
    def runner(self) -> str:
        """The name that this process claims batches by."""

    async def put(self, batch: RequestBatch) -> None: ...

    async def batch(self, owner: str, batch_id: str) -> RequestBatch | None: ...

    async def batches(self, owner: str, page: Page) -> Sequence[RequestBatch] | None:
        """None where the one that the page begins after is not there."""

    async def cancel(self, owner: str, batch_id: str, now_s: int) -> bool:
        """Ask whoever runs it to end it; whether it can be."""

    async def running(self) -> Sequence[Running]:
        """All that are not over, the oldest first; those of the dead are nobody's."""

    async def claim(self, batch_id: str) -> RequestBatch | None:
        """None where another process has it."""

    async def release(self, batch_id: str) -> None: ...

    async def advance(self, batch: RequestBatch, was: Status) -> bool:
        """Keep what it has become; whether it was ours still, and `was` still its status."""

    async def clear(self, batch_id: str) -> None:
        """Forget all its lines."""

    async def add(self, batch_id: str, lines: Sequence[BatchLine]) -> None:
        """They wait. A line that is there already stays as it is."""

    async def lines(self, batch_id: str, state: LineState, after: int, limit: int) -> Sequence[BatchLine]:
        """In order, those after the line `after`."""

    async def finish(self, batch_id: str, line: BatchLine, state: LineState, result: bytes) -> bool:
        """Keep what became of a line that waited, in place of what it asked; whether it was still ours to say."""

    async def rest(self, batch_id: str, part: int) -> tuple[int, int]:
        """Tokens and micro-USD of those lines of a part that wait."""

    async def counts(self, batch_id: str) -> Counts: ...

    async def used_bytes(self) -> int:
        """What all files and batches take."""

    async def purge(self, now_s: int, ended_before_s: int) -> None:
        """Forget files whose time is over, uploads that were given up, and batches that are over and older."""

    async def close(self) -> None: ...


class Records(Protocol):
    """Small documents that the gateway keeps, by kind and id: keys, say. All processes on one store see the same.

    A change is in the store for good before it is said to be done. All raise StoreFailed where the store cannot work.
    """

    async def put(self, kind: str, identity: str, body: bytes) -> None:
        """Keep it, in place of the one with its kind and id."""

    async def get_all(self, kind: str) -> Mapping[str, bytes]:
        """By id, in their order."""

    async def drop(self, kind: str, identity: str) -> bool:
        """Whether it was there."""

    async def version(self) -> int:
        """A number that grows with every change to any record, by whomever. It is cheap, and asked for often."""

    async def close(self) -> None: ...


class Journal(Protocol):
    """Where receipts go. Never blocks, never raises."""

    def note(self, receipt: Receipt) -> None: ...


class GateJournal(Journal, Protocol):
    """It also hears of what never became a call."""

    def refused(self, turned_away: TurnedAway) -> None: ...


class Observer(Protocol):
    """Who learns how an attempt went. Never blocks, never raises."""

    def answered(self, ticket: Ticket, first_event_s: float) -> None:
        """Its first token is there."""

    def ended(self, ticket: Ticket, error: HooshError | None) -> None:
        """It is over; `error` is how it failed, None if it did not, or nobody waited for it."""


class Clock(Protocol):
    def monotonic_ns(self) -> int: ...

    def unix_s(self) -> int: ...


class Sink(Protocol):
    """The client's end. `started` once a status is on the wire: from then on errors are told in-band."""

    @property
    def started(self) -> bool: ...

    def head(self, content_type: bytes, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Set what the reply's head will say; nothing is sent yet."""

    async def write(self, data: bytes) -> None:
        """Send a piece; waits while the client is slow."""

    async def close(self, data: bytes) -> None:
        """Send the last piece; a reply that was never started becomes one with a content-length."""

    async def fail(self, error: HooshError) -> None:
        """A status and an error body if nothing was sent, else an in-band error and the end."""


class Shelf(Protocol):
    """The gateway's own models. Everything but `pullable` may block, and is called off the event loop."""

    def models(self) -> Sequence[LocalModel]: ...

    def pullable(self, name: str) -> str:
        """The SHA-256 of the weights that a pull would bring; "" where there is no such model."""

    def pull(self, name: str, progress: Callable[[int, int], None]) -> LocalModel:
        """Bring a model here; `progress` hears of the bytes there are and of how many, in this thread.

        Raises HooshError.
        """

    def remove(self, name: str) -> None:
        """Raises: UnknownModel."""
