"""Deletions of a service: asked for one by one, done together, and repeated until all is done.

What was left unfinished, by whomever, is found from time to time and finished, ever more rarely
while it fails. What waits is known to the metrics and to `GET /v1/models`.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Final

import structlog

from loaders.errors import Neo4jError, Neo4jTimeoutError
from loaders.gateway import Neo4jGateway
from recsvc.errors import DeletionPendingError, NotFoundError, SnapshotError
from recsvc.graph.group_commit import GroupCommit
from recsvc.graph.rows import PendingDeletions
from recsvc.graph.store import Store
from recsvc.recommend.active_snapshot import ActiveSnapshot
from recsvc.snapshot.deletion import DeletedNode, delete_each, finish_deletions

_PATIENCE_SECONDS: Final = 60.0
"""How long a caller waits; it goes on without them."""
_LOOK_SECONDS: Final = 15.0
_LONGEST_SECONDS: Final = 300.0
_READ_AGAIN: Final = 3
_EXPECTED = (Neo4jError, SnapshotError, DeletionPendingError)

_log = structlog.get_logger()


class Deleter:
    """The queue of deletions of one service, and the finishing of what is left.

    Args:
        store: where nodes are deleted.
        serving: what is loaded again when stored arrays were rewritten.
        noted: what ends kept answers, around each deletion.

    Attributes:
        pending: what waited when it was looked at last.
    """

    def __init__(
        self,
        store: Store,
        serving: ActiveSnapshot,
        noted: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._store = store
        self._serving = serving
        self._noted = noted
        self._queue = GroupCommit(self._commit, timeout_seconds=_PATIENCE_SECONDS)
        self._one_at_a_time = asyncio.Lock()
        self._watcher: asyncio.Task[None] | None = None
        self.pending = PendingDeletions(0)

    def start(self) -> None:
        """Finish deletions that were left, now and from time to time."""
        self._watcher = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Take no more, and do what waits."""
        await self._queue.close()
        if self._watcher is not None:
            self._watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watcher

    async def delete(self, node: DeletedNode) -> None:
        """See `recsvc.recommend.engine.Engine.delete`."""
        try:
            answer = await self._queue.submit(node)
        except Neo4jTimeoutError as error:
            raise DeletionPendingError(
                f"it takes longer than {_PATIENCE_SECONDS:g} s", pending=[node.digest]
            ) from error
        if isinstance(answer, DeletionPendingError):
            raise answer
        if not answer:
            raise NotFoundError(f"no {node.kind} {node.id!r} in the graph")

    async def _commit(self, nodes: Sequence[DeletedNode]) -> list[bool | DeletionPendingError]:
        async with self._one_at_a_time:
            with self._noted():
                answers = await asyncio.to_thread(self._delete, nodes)
                await self._swap()
        for reason in {answer.reason for answer in answers if not isinstance(answer, bool)}:
            _log.warning("a deletion could not be finished yet", reason=reason)
        return answers

    def _delete(self, nodes: Sequence[DeletedNode]) -> list[bool | DeletionPendingError]:
        with Neo4jGateway(self._store.address) as gateway:
            return delete_each(gateway, nodes, keeps_changes=self._store.keeps_changes)

    def _finish(self) -> None:
        with Neo4jGateway(self._store.address) as gateway:
            finish_deletions(gateway)

    async def _swap(self) -> None:
        """Serve the rewritten snapshot, where one is served; others may rewrite it meanwhile."""
        for left in reversed(range(_READ_AGAIN if self._serving.serves else 0)):
            try:
                await self._serving.reload()
            except SnapshotError:
                if not left:
                    raise
            else:
                return

    async def _watch(self) -> None:
        seconds = _LOOK_SECONDS
        while True:
            try:
                await self._look()
                seconds = _LOOK_SECONDS
            except _EXPECTED as error:
                _log.warning(
                    "deletions could not be finished yet", reason=str(error), again_seconds=seconds
                )
                await asyncio.sleep(seconds)
                seconds = min(2 * seconds, _LONGEST_SECONDS)
            else:
                await asyncio.sleep(seconds)

    async def _look(self) -> None:
        """Finish what waits, if anything does."""
        async with self._one_at_a_time:
            self.pending = await self._store.pending_deletions()
            if not self.pending.count:
                return
            try:
                with self._noted():
                    await asyncio.to_thread(self._finish)
                    await self._swap()
            finally:
                with contextlib.suppress(Neo4jError):
                    self.pending = await self._store.pending_deletions()
