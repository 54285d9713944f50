"""Puts other parts in the place of a version's stored ones, each in a transaction of its own.

    claim          one process at a time writes for a version
    put …          its next parts; nobody reads them yet
    take           the version has them, in one transaction that moves nothing but relationships
    drop           what they took the place of, few parts in a transaction

Neo4j holds one part in memory at a time, however many there are. A process that was killed leaves
parts that nobody reads: the next process that claims the version, or drops what is left, removes
them. A process that was paused and taken for dead is told so at its next part.
"""

import contextlib
import secrets
import time
from collections.abc import Collection, Generator, Iterable
from contextlib import contextmanager

from loaders.catalogue import catalogue
from loaders.errors import LoaderError
from loaders.gateway import Gateway
from loaders.parts import Part, PartName, digest_of

_SILENT_MILLISECONDS = 20_000
"""A process that wrote no part for so long is taken for dead."""
_LOOK_SECONDS = 0.1


class PartSwap:
    """Other parts for one version of the blend, while this process has it."""

    def __init__(self, gateway: Gateway, version: int, old: str, token: str) -> None:
        self._gateway = gateway
        self._version = version
        self._old = old
        self._token = token

    def replace(self, names: Collection[PartName], parts: Iterable[Part]) -> str | None:
        """Replace entries of a version as a whole.

        Args:
            names: the parts that it has.
            parts: all parts of each entry that is replaced.

        Returns:
            The new SHA-256; None where another process took over, and nothing was replaced.

        Raises:
            Neo4jError: the graph cannot be written; nothing was replaced.
        """
        put: list[PartName] = []
        for part in parts:
            name = part.name
            row = self._gateway.run(
                catalogue()["delete/put_next_part"], version=self._version, token=self._token,
                entry=name.entry, number=name.number, sha256=name.sha256, content=part.content,
            )  # fmt: skip
            if not row[0]["stored"]:
                return None
            put.append(name)
        entries = {name.entry for name in put}
        new = digest_of([*put, *(name for name in names if name.entry not in entries)])
        answer = self._gateway.run(
            catalogue()["delete/take_next_parts"], version=self._version, token=self._token,
            old=self._old, new=new, entries=sorted(entries), parts=len(put),
        )  # fmt: skip
        return new if answer[0]["taken"] else None


@contextmanager
def claimed(
    gateway: Gateway, version: int, old: str, *, deadline: float
) -> Generator[PartSwap | None]:
    """Be the one process that writes for a version, or wait until others have done so.

    Args:
        gateway: the graph.
        version: of the blend.
        old: SHA-256 of what it holds.
        deadline: until when to wait, by the monotonic clock.

    Yields:
        What replaces its parts; None where it holds something else by now, or is not there.

    Raises:
        Neo4jError: the graph cannot be written.
    """
    token = secrets.token_hex(8)
    if not _claim(gateway, version, old, token, deadline):
        yield None
        return
    named = {"version": version, "token": token}
    try:
        gateway.run(catalogue()["delete/drop_next_parts"], **named)
        yield PartSwap(gateway, version, old, token)
    finally:
        with contextlib.suppress(LoaderError):  # it runs out by itself
            gateway.run(catalogue()["delete/drop_next_parts"], **named)
            gateway.run(catalogue()["delete/release_rewriting"], **named)


def _claim(gateway: Gateway, version: int, old: str, token: str, deadline: float) -> bool:
    query = catalogue()["delete/claim_rewriting"]
    while True:
        rows = gateway.run(
            query, version=version, token=token, old=old, milliseconds=_SILENT_MILLISECONDS
        )
        if not rows or rows[0]["sha256"] != old or time.monotonic() > deadline:
            return False
        if rows[0]["claimed"]:
            return True
        time.sleep(_LOOK_SECONDS)


def drop_left_parts(gateway: Gateway) -> None:
    """Remove the parts of all versions that others took the place of, and what the dead left.

    Raises:
        Neo4jError: the graph cannot be written.
    """
    gateway.run(catalogue()["delete/drop_left_parts"], milliseconds=_SILENT_MILLISECONDS)
