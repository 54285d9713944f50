"""Ports for servers of tests, which on a busy machine start long after their port was chosen.

Meanwhile nobody else gets them: the system itself hands out higher ones, and a lock on a file keeps
other processes of tests away for as long as this one lives.
"""

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path

_CHOICE = range(10_000, 32_000)
_FOLDER = Path(tempfile.gettempdir()) / f"recsvc-ports-{os.getuid()}"


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens on, all different, for this process alone."""
    _FOLDER.mkdir(exist_ok=True)
    ports: list[int] = []
    while len(ports) < count:
        port = random.SystemRandom().choice(_CHOICE)
        lock = os.open(_FOLDER / str(port), os.O_CREAT | os.O_RDWR)  # held until this process ends
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as tried:
                tried.bind(("127.0.0.1", port))
        except OSError:
            os.close(lock)
        else:
            ports.append(port)
    return ports
