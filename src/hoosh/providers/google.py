"""Google Gemini (AI Studio), read 2026-11."""

from hoosh.dialects import Tongue, gemini
from hoosh.providers import Provider
from hoosh.providers.auth import x_goog_api_key

PROVIDER = Provider(
    name="google",
    title="Google Gemini",
    dialect=gemini.DIALECT,
    base_url="https://generativelanguage.googleapis.com",
    docs="https://ai.google.dev/api/generate-content",
    sign=x_goog_api_key,
    env=("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    serves=("gemini-*", "gemma-*"),
    also=(Tongue(dialect=gemini.COUNT), Tongue(dialect=gemini.EMBED)),
)
