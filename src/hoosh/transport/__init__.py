"""The way to the providers: HTTP/1.1 over TCP, TLS and proxies. Implements ports.Transport."""
