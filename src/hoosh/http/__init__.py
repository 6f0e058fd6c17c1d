"""The door: ASGI only. Nothing here knows a provider."""
