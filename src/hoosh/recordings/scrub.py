"""What a recording must not hold: keys, cookies, names of accounts.

Headers and query parameters are kept by an allow-list. In bodies, what is shaped like a key is masked, and so is each
secret that this very request carried in a header, since a provider may echo it in an error. A mask is
as long as what it hides: the body stays valid, and its pieces keep their sizes. What this cannot see is a key that a
model spells out over several events of a stream.
"""

import base64
import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote, urlsplit

from hoosh.core.wire import Headers

_REQUEST_HEADERS = frozenset(
    {b"accept", b"content-type", b"user-agent", b"anthropic-version", b"anthropic-beta", b"openai-beta"}
)
_RESPONSE_HEADERS = re.compile(
    rb"content-type|date|retry-after(-ms)?|x-should-retry|(x-)?request-id|openai-(model|version|processing-ms)"
    rb"|([a-z]+-)*ratelimit-(limit|remaining|reset)(-[a-z_-]+)?|([a-z]+-)*ratelimit(-[a-z]+)*-(limit|remaining|reset)"
)
_QUERY = frozenset({"alt", "beta", "limit", "pageSize", "api-version"})
# Prefixes that vendors give their keys so that scanners find them (read 2026-11): OpenAI, Anthropic, OpenRouter and
# DeepSeek (sk-), Stripe and its like (sk_), Google, NVIDIA, GitHub; in the second row, without punctuation, Groq, xAI,
# Hugging Face, Perplexity, Cerebras, GitHub, AWS, and accounts of OpenAI and OpenRouter. A word may begin like one
# ("sk-learn"): a key has a digit and some length.
_START = rb"(?:(?<![A-Za-z0-9])|(?<=\\[nrtbf]))"
_KEY = re.compile(
    _START + rb"(?:"
    rb"(sk-|sk_|AIza|ya29\.|nvapi-|github_pat_)(?=[A-Za-z_.-]*[0-9])([A-Za-z0-9_.-]{12,})"
    rb"|(gsk_|xai-|hf_|pplx-|csk-|gh[opsu]_|AKIA|org-|proj_|user_)(?=[A-Za-z]*[0-9])([A-Za-z0-9]{12,}))"
)
_BEARER = re.compile(
    _START + rb"((?:bearer|basic)\s+)(?=[A-Za-z._~+/=-]*[0-9])([A-Za-z0-9._~+/=-]{12,})", re.IGNORECASE
)
_JWT = re.compile(_START + rb"(eyJ)([A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*)")
# What must be there, in lower case, for _KEY to match: nearly every body is done with after these looks.
_HINTS = tuple(
    b"sk- sk_ aiza ya29. nvapi- github_pat_ gsk_ xai- hf_ pplx- csk- gho_ ghp_ ghs_ ghu_ akia org- proj_ user_".split()
)
# Headers whose values are secret wherever they turn up. Others that are not kept, as a client library's name, may be
# words of an answer.
_SECRET_HEADERS = re.compile(
    rb"auth|key|token|secret|cookie|session|organi[sz]ation|project|account|tenant", re.IGNORECASE
)
# A shorter value is more likely a word than a secret, and masking it would garble the rest.
_MIN_SECRET_BYTES = 6


def request_headers(headers: Headers) -> dict[str, str]:
    return _text_of((name, value) for name, value in headers if name.lower() in _REQUEST_HEADERS)


def response_headers(headers: Mapping[bytes, bytes]) -> dict[str, str]:
    return _text_of((name, value) for name, value in headers.items() if _RESPONSE_HEADERS.fullmatch(name))


def path_and_query(target: str) -> str:
    """The target of a request without the parameters that are not known to be harmless."""
    path, _, query = target.partition("?")
    kept = [pair for pair in query.split("&") if pair.partition("=")[0] in _QUERY]
    return mask(("?".join((path, "&".join(kept))) if kept else path).encode()).decode()


def address(base_url: str) -> tuple[str, str]:
    """A base URL without user and query, and its host with the port."""
    parts = urlsplit(base_url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path.rstrip('/')}", host


def secrets_in(headers: Headers) -> tuple[bytes, ...]:
    """What the secret ones among the headers say, in each form in which it may come back."""
    found = {word for name, value in headers if _SECRET_HEADERS.search(name) for word in _words(value)}
    forms = {form for word in found for form in (word, quote(word, safe="").encode(), _base64_core(word))}
    return tuple(sorted((form for form in forms if len(form) >= _MIN_SECRET_BYTES), key=len, reverse=True))


def mask(data: bytes, secrets: Iterable[bytes] = ()) -> bytes:
    """As long as before."""
    for secret in secrets:
        data = data.replace(secret, b"*" * len(secret))
    lower = data.lower()
    for hints, pattern in ((_HINTS, _KEY), ((b"bearer", b"basic"), _BEARER), ((b"eyj",), _JWT)):
        if any(hint in lower for hint in hints):
            data = pattern.sub(_starred, data)
    return data


def _starred(found: re.Match[bytes]) -> bytes:
    groups: tuple[bytes | None, ...] = found.groups()
    prefix, secret = filter(None, groups)
    return prefix + b"*" * len(secret)


def _words(value: bytes) -> tuple[bytes, ...]:
    """The value, and what stands behind a scheme (`Bearer x`)."""
    _, _, rest = value.partition(b" ")
    return (value, rest.strip())


def _base64_core(word: bytes) -> bytes:
    return base64.b64encode(word).rstrip(b"=")


def _text_of(pairs: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("latin-1"): mask(value).decode("latin-1") for name, value in pairs}
