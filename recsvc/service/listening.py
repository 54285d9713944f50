"""A socket of its own for each process that answers on one address.

Processes that share a socket take whatever waits there: the one that wakes first has all the
connections that a client opens at once, and the others idle. With SO_REUSEPORT the kernel deals
them out.
"""

import errno
import socket
from typing import Any

from recsvc.errors import SettingsError


class SocketOfEach(socket.socket):
    """A socket on an address that other processes of this user may have one on too.

    Passed to another process, it becomes one of that process.
    """

    def __init__(self, family: int, address: Any) -> None:
        """Bind it.

        Args:
            family: of the address.
            address: as `socket.bind` takes it.

        Raises:
            OSError: somebody has the address for themselves.
        """
        super().__init__(family)
        self.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.bind(address)

    def __reduce__(self) -> tuple[Any, ...]:
        """What another process makes of it."""
        return SocketOfEach, (self.family, self.getsockname())


def check_address(host: str, port: int) -> None:
    """Make sure that a service can listen on an address.

    Raises:
        SettingsError: it cannot; the message says what to do.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            cures = {
                errno.EADDRINUSE: "something listens there already: stop that (another `recsvc "
                "serve`?), or choose another port with RECSVC_PORT",
                errno.EACCES: "ports below 1024 are for root: choose another with RECSVC_PORT",
                errno.EADDRNOTAVAIL: "that is no address of this machine: correct RECSVC_HOST",
            }
            cure = cures.get(error.errno or 0, "choose another with RECSVC_HOST and RECSVC_PORT")
            raise SettingsError(
                f"the service cannot listen on port {port} of {host} ({error.strerror}): {cure}"
            ) from error
