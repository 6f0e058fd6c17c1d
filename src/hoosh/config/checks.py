"""What no type can say: names that must differ, aliases that must end, addresses that must be whole.

Each check yields problems for places that are themselves well-formed; `broken` holds those that are not.
"""

import ipaddress
import re
from collections.abc import Collection, Iterator, Sequence
from urllib.parse import urlsplit

import msgspec

from hoosh.config.problem import Place, Problem, problem_at, quoted, unknown
from hoosh.config.schema import Config
from hoosh.config.spending import PriceConfig
from hoosh.core.errors import ConfigError
from hoosh.core.money import micros_of_usd

_TOKEN_CHARS = 16
_GLOB = re.compile(r"[*?\[]")
_PEPPER_CHARS = 32
_SCHEMES = {
    "postgres": ("postgresql", "postgres"),
    "redis": ("redis", "rediss", "unix", "valkey", "valkeys"),
}
_HOST = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")


def check(config: Config, known_types: Collection[str], broken: Collection[Place]) -> list[Problem]:
    found = [
        *_bind(config),
        *_workers(config),
        *_names("keys", [key.name for key in config.keys], broken),
        *_names("providers", [provider.name for provider in config.providers], broken),
        *_names("budgets", [budget.name for budget in config.budgets], broken),
        *_tokens(config, broken),
        *_peppers(config),
        *_pools(config, broken),
        *_limits(config),
        *_store(config, broken),
        *_types(config, known_types),
        *_prices(config, known_types, broken),
        *_urls(config),
        *_aliases(config.aliases),
    ]
    return [problem for problem in found if problem.place not in broken]


def check_bind(config: Config) -> None:
    """Refuse to be reachable by everyone. Raises: ConfigError, one line with the way out."""
    if config.keys or config.keys_store.required or is_loopback(config.server.bind):
        return
    raise ConfigError(
        f"server.bind: {config.server.bind} can be reached from other machines and there are no keys. "
        "Add [[keys]] with a name and a token; or make one with `hoosh keys create` and set keys_store.required; "
        'or bind to "127.0.0.1".'
    )


def is_loopback(bind: str) -> bool:
    try:
        return ipaddress.ip_address(bind).is_loopback
    except ValueError:
        return bind.lower() == "localhost"


def _bind(config: Config) -> Iterator[Problem]:
    for section, bind in (("server", config.server.bind), ("admin", config.admin.bind)):
        try:
            ipaddress.ip_address(bind)
        except ValueError:
            if not _HOST.fullmatch(bind):
                told = f"expected an address or a host name; the port is {section}.port"
                yield problem_at((section, "bind"), told)


def _workers(config: Config) -> Iterator[Problem]:
    if config.server.workers == 1:
        return
    if config.store.kind == "memory":
        told = "several workers share budgets and keys through a store, and memory is each one's own; use sqlite"
        yield problem_at(("store", "kind"), told)
    if not config.responses.persist and config.responses.keep_days:
        told = "what one worker keeps in its memory no other finds; keep responses in the file, or keep_days = 0"
        yield problem_at(("responses", "persist"), told)


def _names(section: str, names: Sequence[str], broken: Collection[Place]) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for index, name in enumerate(names):
        place: Place = (section, index, "name")
        if not name or place in broken:
            continue
        if name in first:
            text = f"{quoted(name)} is already the name of {section}[{first[name]}]; give this one another"
            yield problem_at(place, text)
        first.setdefault(name, index)


def _tokens(config: Config, broken: Collection[Place]) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for index, key in enumerate(config.keys):
        token, place = key.token.reveal(), ("keys", index, "token")
        if not token or place in broken:
            continue
        if len(token) < _TOKEN_CHARS:
            yield problem_at(place, f"shorter than {_TOKEN_CHARS} characters; openssl rand -hex 24 makes a good one")
        if token in first:
            yield problem_at(place, f"the same token as that of keys[{first[token]}]")
        first.setdefault(token, index)


def _peppers(config: Config) -> Iterator[Problem]:
    for name in ("pepper", "previous_pepper"):
        pepper = getattr(config.keys_store, name)
        if pepper is not None and len(pepper.reveal()) < _PEPPER_CHARS:
            text = f"shorter than {_PEPPER_CHARS} characters; openssl rand -hex 32 makes a good one"
            yield problem_at(("keys_store", name), text)


def _pools(config: Config, broken: Collection[Place]) -> Iterator[Problem]:
    if any(place[:1] == ("budgets",) for place in broken):
        return
    pools = {"default", *(budget.name for budget in config.budgets)}
    for index, key in enumerate(config.keys):
        if key.pool not in pools:
            yield problem_at(("keys", index, "pool"), unknown("budget", key.pool, pools))
    parents = {budget.name: budget.parent for budget in config.budgets}
    for index, budget in enumerate(config.budgets):
        if budget.parent and budget.parent not in pools:
            yield problem_at(("budgets", index, "parent"), unknown("budget", budget.parent, pools))
        if _goes_round(budget.name, parents):
            yield problem_at(("budgets", index, "parent"), "is below itself")
        if budget.capacity_usd is not None and (fault := _amount_fault(budget.capacity_usd)):
            yield problem_at(("budgets", index, "capacity_usd"), fault)
        for at, other in enumerate(budget.overrides):
            if other.capacity_usd is not None and (fault := _amount_fault(other.capacity_usd)):
                yield problem_at(("budgets", index, "overrides", at, "capacity_usd"), fault)
        if not _is_zone(budget.time_zone):
            yield problem_at(
                ("budgets", index, "time_zone"), f"no time zone {quoted(budget.time_zone)} on this machine"
            )


def _limits(config: Config) -> Iterator[Problem]:
    first: dict[tuple[str, str], int] = {}
    for index, row in enumerate(config.limits):
        if row.rpm is row.tpm is row.concurrency is None:
            yield problem_at(("limits", index, "model"), "limits nothing: give it rpm, tpm or concurrency")
        before = first.setdefault((row.provider, row.model), index)
        if before != index:
            yield problem_at(("limits", index, "model"), f"{quoted(row.model)} is limited by limits[{before}] already")


def _store(config: Config, broken: Collection[Place]) -> Iterator[Problem]:
    """The URL is not said: it may hold a password."""
    store, place = config.store, ("store", "url")
    if place in broken or ("store", "kind") in broken:
        return
    schemes = _SCHEMES.get(store.kind, ())
    if store.url is None:
        if schemes:
            yield problem_at(place, f"is missing; a store in {store.kind} has one, as {schemes[0]}://HOST/...")
    elif not schemes:
        yield problem_at(place, f'has no meaning where store.kind is "{store.kind}"')
    elif store.url.reveal().partition("://")[0] not in schemes:
        yield problem_at(place, f'expected a URL that begins with "{schemes[0]}://"')


def _goes_round(name: str, parents: dict[str, str]) -> bool:
    at = parents.get(name, "")
    for _ in parents:
        if at == name:
            return True
        at = parents.get(at, "")
    return False


def _is_zone(name: str) -> bool:
    if name == "UTC":
        return True
    from zoneinfo import ZoneInfo  # noqa: PLC0415 - it costs time to import, and few need it

    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # ZoneInfoNotFoundError is a KeyError
        return False
    return True


def _types(config: Config, known_types: Collection[str]) -> Iterator[Problem]:
    for index, provider in enumerate(config.providers):
        if provider.type and provider.type not in known_types:
            yield problem_at(("providers", index, "type"), unknown("provider", provider.type, known_types))


def _prices(config: Config, known_types: Collection[str], broken: Collection[Place]) -> Iterator[Problem]:
    names = {*known_types, *(provider.name.lower() for provider in config.providers)}
    for index, entry in enumerate(config.prices):
        place: Place = ("prices", index)
        if not _GLOB.search(entry.provider) and entry.provider.lower() not in names:
            yield problem_at((*place, "provider"), unknown("provider", entry.provider, names))
        for name, usd in msgspec.structs.asdict(entry).items():
            if isinstance(usd, float) and (fault := _amount_fault(usd)):
                yield problem_at((*place, name), fault)
        if not any(problem[: len(place)] == place for problem in broken) and (fault := _price_fault(entry)):
            yield problem_at(place, fault)


def _amount_fault(usd: float) -> str:
    try:
        micros_of_usd(usd)
    except ValueError as error:
        return str(error)
    return ""


def _price_fault(entry: PriceConfig) -> str:
    """What is not said is not taken to be nothing."""
    if (entry.input_usd_per_mtok is None) != (entry.output_usd_per_mtok is None):
        return "input_usd_per_mtok and output_usd_per_mtok go together; write 0 for what costs nothing"
    of_cache = (entry.cached_input_usd_per_mtok, entry.cache_write_usd_per_mtok)
    if entry.input_usd_per_mtok is None and any(usd is not None for usd in of_cache):
        return "a cache's price needs input_usd_per_mtok"
    all_told = (entry.input_usd_per_mtok, entry.audio_input_usd_per_minute, entry.per_request_usd)
    return "" if any(usd is not None for usd in all_told) else "no price; input_usd_per_mtok, for one, is missing"


def _urls(config: Config) -> Iterator[Problem]:
    for index, provider in enumerate(config.providers):
        if provider.base_url is not None and (fault := _url_fault(provider.base_url)):
            yield problem_at(("providers", index, "base_url"), fault)


def _url_fault(url: str) -> str:
    """What is wrong with it. The URL itself is not said: it may hold a password."""
    try:
        parts = urlsplit(url)
        has_host = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return "not a URL: its host or port is wrong"
    if parts.scheme not in ("http", "https"):
        return 'expected a URL that begins with "http://" or "https://"'
    if "@" in parts.netloc:
        return "a URL holds no user and no password; put the key in api_key"
    if "?" in url or "#" in url:
        return "a base URL has no query and no fragment"
    if not has_host or " " in url:
        return "not a URL: its host or port is wrong"
    return ""


def _aliases(aliases: dict[str, str]) -> Iterator[Problem]:
    """One problem for each circle, at the alias of it that stands first."""
    seen: set[str] = set()
    for name in aliases:
        path: list[str] = []
        at = name
        while at in aliases and at not in seen:
            seen.add(at)
            path.append(at)
            at = aliases[at]
        if at in path:
            circle = path[path.index(at) :]
            place = ("aliases", at)
            if len(circle) == 1:
                yield problem_at(place, "points to itself")
            else:
                yield problem_at(place, f"goes round in a circle: {' -> '.join([*circle, at])}")
