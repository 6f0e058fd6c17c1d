"""Recorded exchanges with providers: what one is, what must not be in it, which one answers a request, and how.

All of it is pure. `transport.record` writes them, `transport.replay` and `http.replay` play them.
"""
