"""Addresses of a Neo4j: checked without repeating them, since a password may stand anywhere."""

from typing import Final
from urllib.parse import parse_qsl, urlsplit

_SCHEMES: Final = frozenset({"bolt", "bolt+s", "bolt+ssc", "neo4j", "neo4j+s", "neo4j+ssc"})
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_EXPECTED = (
    "expected bolt://host:port or neo4j://host:port, and the user and password in RECSVC_NEO4J_USER"
    " and RECSVC_NEO4J_PASSWORD: addresses stand in messages and logs"
)


def check_address(uri: str) -> str:
    """The same address.

    What follows a `?` is the routing context of neo4j://, which `shown_address` leaves out.

    Raises:
        ValueError: it is none; the message repeats nothing of it.
    """
    if "@" in uri:
        raise ValueError(f"a user or a password is in the address: {_EXPECTED}")
    try:
        parts = urlsplit(uri)
        port = parts.port
        context = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        raise ValueError(
            f"the port is no number, or something else cannot be read: {_EXPECTED}"
        ) from None
    if parts.scheme not in _SCHEMES or not parts.hostname or port == 0:
        raise ValueError(f"this is no address of a Neo4j: {_EXPECTED}")
    routed = parts.scheme.startswith("neo4j")
    names = [name for name, value in context if value]
    usable = routed and len({*names} - {"address"}) == len(context)
    if parts.path.strip("/") or "#" in uri or ("?" in uri and not usable):
        raise ValueError(f"something is in the address after the port: {_EXPECTED}")
    return uri


def check_confidential(url: str) -> str:
    """The same address of something over HTTP, where nobody on the way can change what it says.

    Raises:
        ValueError: it is none; the message repeats nothing of it.
    """
    parts = urlsplit(url)
    here = parts.scheme == "http" and parts.hostname in _LOOPBACK
    if not parts.hostname or "@" in url or "#" in url or not (here or parts.scheme == "https"):
        raise ValueError(
            "expected an address such as https://issuer.example, without a log-in; http:// only "
            "for one on this machine"
        )
    return url


def is_routed(uri: str) -> bool:
    """Whether the driver asks the servers which of them reads and which writes (neo4j://)."""
    return uri.startswith("neo4j")


def shown_address(uri: str) -> str:
    """An address as messages show it: without its routing context."""
    return uri.partition("?")[0]
