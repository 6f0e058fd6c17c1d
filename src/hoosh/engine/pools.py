"""The pools that there are, and where each stands in time: its window, its ceiling, its desks."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import tzinfo

from hoosh.core.errors import BadRequest
from hoosh.core.ledger import NOTHING, Amount, Scope
from hoosh.core.pool import Pool, Terms, pool_of_key
from hoosh.engine.desk import Desk
from hoosh.policy.periods import FOR_EVER, Window, ceiling, window


class PoolState:
    """`scope` and `desk` are those of now; `old` are desks of earlier windows that calls still hold something of."""

    __slots__ = ("_at_s", "_zone", "carried", "desk", "old", "pool", "scope", "warned_percent", "window")

    def __init__(self, pool: Pool, zone: tzinfo) -> None:
        self.pool = pool
        self._zone = zone
        self._at_s = -1
        self.window = FOR_EVER
        self.carried: Amount | None = None if pool.carry_percent else NOTHING
        self.warned_percent = 0
        self.scope = Scope(pool.name)
        self.desk = Desk(pool.name, 0)
        self.old: list[Desk] = []

    @property
    def zone(self) -> tzinfo:
        return self._zone

    def at(self, now_s: int) -> None:
        """Be as of `now_s`, by the store's clock."""
        if now_s == self._at_s:
            return
        self._at_s = now_s
        now = self.window
        if not now.end_s or self.pool.rolling or not now.start_s <= now_s < now.end_s:
            self._enter(window(self.pool, now_s, self._zone))
        limit = ceiling(self.pool, now_s, self.carried or NOTHING)
        self.desk.cap(limit, self.window.since_s, hard=self.pool.hard)

    def change(self, pool: Pool, zone: tzinfo) -> None:
        """The pool was defined anew; what is held goes on, what is free is leased again under the new ceiling."""
        self.desk.give_up_free()
        self.pool = pool
        self._zone = zone
        self._at_s = -1
        self.window = FOR_EVER
        self.carried = None if pool.carry_percent else NOTHING

    def carry(self, extra: Amount) -> None:
        self.carried = extra
        self._at_s = -1

    def _enter(self, now: Window) -> None:
        if now.window_s != self.desk.window_s:
            self._turn_to(now.window_s)
            self.warned_percent = 0
            self.carried = None if self.pool.carry_percent else NOTHING
        if now.bucket_s != self.scope.bucket_s or now.window_s != self.scope.window_s:
            self.scope = Scope(self.pool.name, now.bucket_s, now.window_s)
        self.window = now

    def _turn_to(self, window_s: int) -> None:
        """A clock that is set right may go back into a window that calls still hold something of. Its desk is then
        the same one: two for one lease would each believe that all of it is theirs.
        """
        self.old.append(self.desk)
        found = next((desk for desk in self.old if desk.window_s == window_s), None)
        if found is None:
            found = Desk(self.pool.name, window_s)
        else:
            self.old.remove(found)
        self.desk = found

    def past(self) -> list[Desk]:
        """Desks of windows that are over; they go once nothing of them is held."""
        if self.old:
            self.old = [desk for desk in self.old if not desk.is_empty]
        return self.old


class Pools:
    """`zone_of` finds a time zone by its name."""

    def __init__(self, pools: Iterable[Pool], zone_of: Callable[[str], tzinfo]) -> None:
        self._zone_of = zone_of
        self._states = {pool.name: PoolState(pool, zone_of(pool.time_zone)) for pool in pools}
        self._chains: dict[tuple[str, ...], tuple[PoolState, ...]] = {}
        self._gone: list[PoolState] = []
        self._terms: dict[tuple[str, ...], Terms] = {}
        self._index()

    def __getitem__(self, name: str) -> PoolState:
        return self._states[name]

    def __contains__(self, name: str) -> bool:
        return name in self._states

    def desks(self) -> list[tuple[Desk, bool]]:
        """All that the store should hear of, each with whether calls may still come to it."""
        now = [(state.desk, True) for state in self._states.values()]
        past = [(desk, False) for state in (*self._states.values(), *self._gone) for desk in state.past()]
        if self._gone:
            self._gone = [state for state in self._gone if state.past() or not state.desk.is_empty]
            past += [(state.desk, False) for state in self._gone]
        return now + past

    @property
    def states(self) -> Sequence[PoolState]:
        return tuple(self._states.values())

    def chain(self, names: tuple[str, ...]) -> tuple[PoolState, ...]:
        """Those of `names` and all above them, each once, the caller's own first.

        Raises BadRequest where the first, which is the caller's choice, does not exist.
        """
        found = self._chains.get(names)
        if found is None:
            found = self._chains[names] = tuple(self._climb(names))
        return found

    def terms(self, pool: str, key_id: str, agent: str) -> Terms:
        """Raises BadRequest."""
        names = [pool]
        if (own := pool_of_key(key_id)) in self._states:
            names.append(own)
        if agent in self._agents:
            names.append(self._agents[agent])
        asked = tuple(names)
        found = self._terms.get(asked)
        if found is None:
            found = self._terms[asked] = _terms(asked, self.chain(asked))
        return found

    def define(self, pools: Mapping[str, Pool]) -> None:
        """From now on these are all."""
        for name, pool in pools.items():
            known = self._states.get(name) or self._taken_back(name)
            if known is None:
                self._states[name] = PoolState(pool, self._zone_of(pool.time_zone))
            elif known.pool != pool:
                known.change(pool, self._zone_of(pool.time_zone))
        for name in self._states.keys() - pools.keys():
            self._gone.append(self._states.pop(name))
        self._chains.clear()
        self._terms.clear()
        self._index()

    def _taken_back(self, name: str) -> PoolState | None:
        """A pool that was gone and comes again while calls still hold something of it."""
        for state in self._gone:
            if state.pool.name == name:
                self._gone.remove(state)
                self._states[name] = state
                return state
        return None

    def _index(self) -> None:
        self._agents = {state.pool.agent: name for name, state in self._states.items() if state.pool.agent}

    def _climb(self, names: tuple[str, ...]) -> Iterable[PoolState]:
        seen: set[str] = set()
        for first in names:
            name = first
            while name and name not in seen:
                seen.add(name)
                state = self._states.get(name)
                if state is None:
                    raise BadRequest(f"Token pool '{name}' does not exist", param="pool")
                yield state
                name = state.pool.parent


def _terms(names: tuple[str, ...], chain: Sequence[PoolState]) -> Terms:
    capped = [state.pool for state in chain if state.pool.is_capped]
    return Terms(
        pools=names,
        is_capped=bool(capped),
        allows_unbounded=all(pool.unbounded == "allow" for pool in capped),
        output_tokens=min((pool.output_tokens for pool in capped), default=0),
        top_up=bool(capped) and all(pool.top_up for pool in capped),
    )
