"""What OpenAI's older APIs take as input: one text, several, the tokens of one text, or those of several."""

from collections.abc import Sequence
from typing import TypeAlias

from hoosh.core.errors import BadRequest

Given: TypeAlias = str | list[str | int | list[int]]
# OpenAI's own limit.
MAX_INPUTS = 2048


def read(given: Given | None, field: str) -> tuple[str | tuple[int, ...], ...]:
    """Raises BadRequest naming the field."""
    if given is None:
        raise BadRequest(f"{field} is required", param=field)
    if not given:
        raise BadRequest(f"{field} is empty", param=field)
    if isinstance(given, str):
        return (given,)
    kinds = {type(one) for one in given}
    if len(kinds) > 1:
        raise BadRequest(f"{field}: texts, tokens and lists of tokens cannot be mixed", param=field)
    if kinds == {int}:
        return (_tokens(given, field),)
    if len(given) > MAX_INPUTS:
        raise BadRequest(f"{field}: {len(given)} of them, not more than {MAX_INPUTS}", param=field)
    return tuple(
        _text(one, f"{field}[{i}]") if isinstance(one, str) else _tokens(_listed(one), f"{field}[{i}]")
        for i, one in enumerate(given)
    )


def _listed(one: int | list[int]) -> list[int]:
    return [one] if isinstance(one, int) else one


def _text(text: str, where: str) -> str:
    if not text:
        raise BadRequest(f"{where} is empty", param=where)
    return text


def _tokens(given: Sequence[object], where: str) -> tuple[int, ...]:
    if not given:
        raise BadRequest(f"{where} is empty", param=where)
    tokens = tuple(token for token in given if isinstance(token, int) and token >= 0)
    if len(tokens) < len(given):
        raise BadRequest(f"{where}: a token is a number from 0 on", param=where)
    return tokens
