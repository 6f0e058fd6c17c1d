"""Which key a token is: those of the configuration, and those in the store, which change while the gateway runs.

Asking is synchronous and takes no I/O: a task looks at the store's version twice a second, so that a key which was
revoked anywhere is refused here within a second. While the store is down, what was known is good for `grace_s`.
"""

import asyncio
import hashlib
import hmac
import logging
from collections.abc import Callable, Iterable, Mapping

import msgspec

from hoosh.core.errors import StoreFailed, Unauthorized
from hoosh.core.principal import ANONYMOUS, Principal
from hoosh.core.stored_key import KIND, REVOKED, KeySecret, Revocation, StoredKey
from hoosh.policy.secret_keys import PREFIX, digest, id_of
from hoosh.ports import Clock, Keys, Peppers, Records

log = logging.getLogger("hoosh.keys")
POLL_S = 0.5
# A store that takes longer to tell a number counts as down.
PATIENCE_S = 5.0
# Tokens that are remembered by their digests: each costs some 200 bytes.
MAX_MEMO = 10_000
# Each token is tried against so many secrets, whoever's it claims to be: a key has two while it is being rotated.
TRIES = 2
_DECOY = KeySecret("", "0" * 64)
_ASK = "Invalid or missing API key: send it as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'."
_REFUSED = "Invalid or missing API key."
_key = msgspec.json.Decoder(StoredKey)
_revocation = msgspec.json.Decoder(Revocation)


class RingRules(msgspec.Struct, frozen=True, kw_only=True):
    """`required`: a key is asked for even where there is none yet."""

    grace_s: float = 60.0
    required: bool = False


class _Known(msgspec.Struct, frozen=True):
    """A token that was good. `digest` is of the stored secret, "" for a key of the configuration."""

    principal: Principal
    digest: str = ""
    until_s: int | None = None


class KeyRing:
    """ports.Keys."""

    def __init__(
        self, configured: Keys | None, records: Records, peppers: Peppers, clock: Clock, rules: RingRules
    ) -> None:
        """`configured` is None where the configuration has no keys. `before_use` hears of all keys of the store before
        a new one of them works.
        """
        self.before_use: Callable[[Iterable[StoredKey]], None] | None = None
        self._configured = configured
        self._records = records
        self._peppers = peppers
        self._clock = clock
        self._rules = rules
        self._keys: Mapping[str, StoredKey] = {}
        self._pepper: Mapping[str, bytes] = {}
        self._memo: dict[bytes, _Known] = {}
        self._version = -1
        self._good_until_ns = 0
        self._asks = configured is not None or rules.required
        self._is_down = False

    def configure(self, configured: Keys | None) -> None:
        """These are the configuration's from now on. Where there were keys one is asked for, also if none is left."""
        self._configured = configured
        self._asks = self._asks or configured is not None
        self._memo = {given: known for given, known in self._memo.items() if known.digest}

    def identify(self, token: str | None) -> Principal:
        if not self._asks:
            if self._version < 0:  # perhaps there are keys
                raise _down()
            return ANONYMOUS
        if not token:
            raise Unauthorized(_ASK)
        return self.recall(token) or self._admit(token)

    def recall(self, token: str) -> Principal | None:
        """Raises StoreFailed."""
        given = _name(token)
        known = self._memo.get(given)
        if known is None:
            return None
        if known.digest and self._clock.monotonic_ns() > self._good_until_ns:
            raise _down()
        if known.until_s is not None and known.until_s <= self._clock.unix_s():
            del self._memo[given]
            return None
        return known.principal

    def named(self, key_id: str) -> Principal:
        """For what is done in the name of a key of the store without its token. Raises: Unauthorized, StoreFailed."""
        if self._clock.monotonic_ns() > self._good_until_ns:
            raise _down()
        key = self._keys.get(key_id)
        if key is None or key.state(self._clock.unix_s()) != "active":
            raise Unauthorized(f"API key '{key_id}' is no longer good.")
        return key.principal()

    @property
    def asks(self) -> bool:
        """Whether a key is needed."""
        return self._asks

    @property
    def is_down(self) -> bool:
        """Whether the last look at the store failed."""
        return self._is_down

    async def watch(self) -> None:
        """Runs for as long as the gateway does."""
        while True:
            await self.look()
            await asyncio.sleep(POLL_S)

    async def look(self) -> None:
        """Read the store if it has changed. A failure is logged once and not raised: time makes it count."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._refresh()
        except (StoreFailed, TimeoutError) as error:
            if not self._is_down:
                log.warning("the store of keys cannot be read: %s", str(error) or "it does not answer")
            self._is_down = True
        else:
            if self._is_down:
                log.warning("the store of keys can be read again")
            self._is_down = False

    async def _refresh(self) -> None:
        asked_ns = self._clock.monotonic_ns()
        version = await self._records.version()
        if version != self._version:
            revoked = await self._records.get_all(REVOKED)
            keys = await self._records.get_all(KIND)
            peppers = await self._peppers.known() if keys else {}
            self._adopt(keys, revoked)
            self._pepper = peppers
            self._version = version
        self._good_until_ns = asked_ns + int(self._rules.grace_s * 1e9)

    def _adopt(self, bodies: Mapping[str, bytes], revoked: Mapping[str, bytes]) -> None:
        keys: dict[str, StoredKey] = {}
        for identity, body in bodies.items():
            try:
                keys[identity] = with_revocation(_key.decode(body), revoked.get(identity))
            except msgspec.DecodeError:  # a later hoosh's, perhaps: to be on the safe side it opens nothing
                log.exception("key %s cannot be read, and is refused", identity)
        if self.before_use is not None:
            self.before_use(keys.values())
        self._keys = keys
        self._asks = self._asks or bool(bodies)  # for good: a store that was taken away opens nothing
        self._memo = {given: known for given, old in self._memo.items() if (known := self._still(old))}

    def _still(self, old: _Known) -> _Known | None:
        """What is remembered of a token, under the key's terms of now."""
        if not old.digest:
            return old
        key = self._keys.get(old.principal.key_id)
        secret = next((secret for secret in key.secrets if secret.digest == old.digest), None) if key else None
        return _known(key, secret) if key and secret and key.revoked_s is None else None

    def _admit(self, token: str) -> Principal:
        """For a token that is not remembered. Raises: Unauthorized, StoreFailed."""
        known = self._from_configuration(token) or self._from_store(token)
        if len(self._memo) >= MAX_MEMO:
            del self._memo[next(iter(self._memo))]
        self._memo[_name(token)] = known
        return known.principal

    def _from_configuration(self, token: str) -> _Known | None:
        if self._configured is None:
            return None
        principal = self._configured.recall(token)
        if principal is None:
            return None
        if principal.expires_s is not None and principal.expires_s <= self._clock.unix_s():
            raise Unauthorized(f"API key '{principal.key_id}' has expired.")
        return _Known(principal, until_s=principal.expires_s)

    def _from_store(self, token: str) -> _Known:
        identity = id_of(token)
        if not identity:
            told = " It is not as it was made: a letter is missing or wrong." if token.startswith(PREFIX) else ""
            raise Unauthorized(_REFUSED + told)
        if self._clock.monotonic_ns() > self._good_until_ns:
            raise _down()
        key = self._keys.get(identity)
        secret = self._match(key.secrets if key else (), token)
        if key is None or secret is None:
            raise Unauthorized(_REFUSED)
        now_s = self._clock.unix_s()
        if (state := key.state(now_s)) != "active":
            raise Unauthorized(f"API key '{key.terms.name}' ({key.id}) {_over(state)}.")
        if secret.until_s is not None and secret.until_s <= now_s:
            raise Unauthorized(f"API key '{key.terms.name}' ({key.id}) has a new secret; this one is over.")
        return _known(key, secret)

    def _match(self, secrets: tuple[KeySecret, ...], token: str) -> KeySecret | None:
        """The same work for a key that there is and one that there is not."""
        found: KeySecret | None = None
        for secret in (*secrets, _DECOY, _DECOY)[:TRIES]:
            pepper = self._pepper.get(secret.pepper, b"")
            is_it = hmac.compare_digest(digest(pepper, token), secret.digest)
            if is_it and pepper:
                found = secret
        return found


def with_revocation(key: StoredKey, body: bytes | None) -> StoredKey:
    """Raises msgspec.DecodeError."""
    return key if body is None else msgspec.structs.replace(key, revoked_s=_revocation.decode(body).at_s)


def _known(key: StoredKey, secret: KeySecret) -> _Known:
    ends = [end_s for end_s in (key.terms.expires_s, secret.until_s) if end_s is not None]
    return _Known(key.principal(), secret.digest, min(ends, default=None))


def _over(state: str) -> str:
    return "was revoked" if state == "revoked" else "has expired"


def _name(token: str) -> bytes:
    """What a token is remembered by: memory holds no secret longer than its request."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def _down() -> StoreFailed:
    return StoreFailed("the store of keys cannot be read now", code="keys_unreadable")
