"""The door: HTTP/1.1 to clients. Nothing here knows a provider."""
