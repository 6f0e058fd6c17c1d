"""The sockets that are listened on, alone or as one of several processes."""

import errno
import socket

from hoosh.core.errors import ConfigError

BACKLOG = 2048


def listen(bind: str, port: int) -> socket.socket:
    """A listening socket. Raises ConfigError that says what to do."""
    return _listening(_bound(bind, port, shares=False), bind, port)


def listen_beside(bind: str, port: int) -> socket.socket:
    """One of several listening sockets of a port, among which the system spreads connections. Raises ConfigError."""
    return _listening(_bound(bind, port, shares=True), bind, port)


def reserve(bind: str, port: int) -> socket.socket:
    """The port for `listen_beside`: a socket that holds it and takes no connection.

    Raises ConfigError where anybody listens there: who shares a port shares it with others that would, too.
    """
    with listen(bind, port) as alone:
        found: int = alone.getsockname()[1]
    return _bound(bind, found, shares=True)


def _bound(bind: str, port: int, *, shares: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        if shares:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind((bind, port))
    except OSError as error:
        bound.close()
        raise _unusable(bind, port, error) from None
    return bound


def _listening(bound: socket.socket, bind: str, port: int) -> socket.socket:
    try:
        bound.listen(BACKLOG)
    except OSError as error:
        bound.close()
        raise _unusable(bind, port, error) from None
    bound.setblocking(False)
    return bound


def _unusable(bind: str, port: int, error: OSError) -> ConfigError:
    if error.errno == errno.EADDRINUSE:
        return ConfigError(f"port {port} of {bind} is in use; try --port {port + 1}")
    return ConfigError(f"cannot listen on {bind}:{port}: {error.strerror}")
