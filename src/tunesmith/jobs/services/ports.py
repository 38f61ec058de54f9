"""Ports of this machine: whether one is free, and who has it."""

from __future__ import annotations

import errno
import socket

import psutil

from tunesmith.errors import ServiceError
from tunesmith.messages import say

_GIVEN: set[int] = set()
"""Ports that `free_port` gave: whoever asks for several gets different ones."""


def port_is_free(host: str, port: int) -> bool:
    """Whether a server could listen there. Raises ServiceError where this machine never may."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            # As servers do: a port whose last connections are still closing is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            return True
    except socket.gaierror as error:
        raise ServiceError(
            "{host} is no address: {error}.", host=host, error=error.strerror
        ) from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return False
        raise ServiceError(
            "this machine can't listen on {host}, port {port}: {error}.",
            host=host,
            port=port,
            error=error.strerror,
        ) from error


def port_owner(port: int) -> str:
    """Who listens on `port`, such as `nginx (pid 123)`; "another program" where that is hidden."""
    try:
        for connection in psutil.net_connections("tcp"):
            address = connection.laddr
            if connection.status == psutil.CONN_LISTEN and address and address.port == port:
                if connection.pid is None:
                    break
                return say(
                    "{name} (pid {pid})",
                    name=psutil.Process(connection.pid).name(),
                    pid=connection.pid,
                )
    except psutil.Error:
        pass  # other users' connections are not everybody's to see
    return say("another program")


def port_taken(what: str, port: int, variable: str) -> ServiceError:
    """The error for a port that somebody else has, with the way out."""
    return ServiceError(
        "port {port} for the {what} is taken by {port_owner}. Stop that, or "
        "choose another port: {variable}={free_port} in .env.",
        port=port,
        what=what,
        port_owner=port_owner(port),
        variable=variable,
        free_port=free_port(),
    )


def free_port() -> int:
    """A port of this machine that is free now, and that wasn't given here before."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port not in _GIVEN:
            _GIVEN.add(port)
            return port
