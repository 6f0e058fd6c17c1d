"""How a provider's requests differ from its dialect: small named functions over the JSON body."""

from hoosh.dialects import JSON, Quirk

# Where each dialect keeps its bound on the answer.
_OUTPUT_BOUNDS = (
    ("", "max_tokens"),
    ("", "max_completion_tokens"),
    ("generationConfig", "maxOutputTokens"),
    ("options", "num_predict"),
)


def cap_output(limit_tokens: int) -> Quirk:
    """No answer may be asked to be longer than `limit_tokens`."""

    def quirk(body: JSON) -> None:
        for holder, key in _OUTPUT_BOUNDS:
            fields = body.get(holder) if holder else body
            if isinstance(fields, dict) and isinstance(fields.get(key), int):
                fields[key] = min(fields[key], limit_tokens)

    return quirk
