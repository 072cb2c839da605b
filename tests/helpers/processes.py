"""Several processes that talk to each other."""

import socket


def free_port():
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]
