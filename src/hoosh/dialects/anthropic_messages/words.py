"""What both faces of the dialect call things."""

NAME = "anthropic_messages"
# What a client asks beyond the stable API; to Anthropic it goes on as it came.
RELAYS = frozenset({b"anthropic-beta"})
# Where a call's own proof (Gemini's thought signature) travels: in the data of a redacted thought, the one block that
# clients give back without a look at it.
CALL_PROOF = "call-signature:"
