"""Chat's list of tokens as the four lists that this API has."""

import msgspec

from hoosh.codecs.json import JSON
from hoosh.core.errors import BadUpstream


class _Alternative(msgspec.Struct):
    token: str
    logprob: float


class _Token(msgspec.Struct):
    token: str
    logprob: float
    top_logprobs: list[_Alternative] | None = None


_tokens = msgspec.json.Decoder(list[_Token])


class Offsets:
    """Where each token begins in the text of its answer."""

    __slots__ = ("_at",)

    def __init__(self) -> None:
        self._at: dict[int, int] = {}

    def in_lists(self, content: bytes, index: int) -> JSON:
        """`content` is JSON text of chat's list. Raises BadUpstream."""
        try:
            tokens = _tokens.decode(content)
        except msgspec.DecodeError as error:
            raise BadUpstream("the provider sent what are not probabilities of tokens") from error
        offsets = []
        for token in tokens:
            at = self._at.get(index, 0)
            offsets.append(at)
            self._at[index] = at + len(token.token)
        return {
            "tokens": [token.token for token in tokens],
            "token_logprobs": [token.logprob for token in tokens],
            "top_logprobs": [{one.token: one.logprob for one in token.top_logprobs or ()} for token in tokens],
            "text_offset": offsets,
        }
