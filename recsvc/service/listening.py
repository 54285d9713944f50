"""A socket of its own for each process that answers on one address.

Processes that share a socket take whatever waits there: the one that wakes first has all the
connections that a client opens at once, and the others idle. With SO_REUSEPORT the kernel deals
them out.
"""

import socket
from typing import Any, TypeVar

_Socket = TypeVar("_Socket", bound=socket.socket)


class SocketOfEach(socket.socket):
    """Keeps an address; in each process that it is passed to it becomes a socket of that one."""

    def __reduce__(self) -> tuple[Any, ...]:
        """What another process makes of it."""
        return bound, (socket.socket, self.family, self.getsockname())


def bound(make: type[_Socket], family: int, address: Any) -> _Socket:
    """A socket on an address that others of this user may have one on too.

    Args:
        make: class of the socket.
        family: of the address.
        address: as `socket.bind` takes it.

    Raises:
        OSError: somebody has the address for themselves.
    """
    own = make(family)
    own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    own.bind(address)
    return own
