"""A socket of its own for each process that answers on one address.

Processes that share a socket take whatever waits there: the one that wakes first has all the
connections that a client opens at once, and the others idle. With SO_REUSEPORT the kernel deals
them out.
"""

import socket
from typing import Any


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
