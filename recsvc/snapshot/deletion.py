"""Deletion of users, items and categories with all that is derived from them.

Outcomes go first, a part at a time; then the node goes in one transaction, with its relationships,
embeddings, ledger entries and the outcomes that came meanwhile, and a
`(:Deletion)` note stays that names it by a digest. Then every stored snapshot is rewritten without
it, and only then the note is removed. So what was interrupted is known, and finished by the next
deletion or refresh, or by any service, which looks from time to time.

Of a snapshot only the entries are written again that hold something of the node
(`recsvc.snapshot.forgetting`), a part at a time (`loaders.part_swap`): neither Neo4j nor this
process has more in memory than that. A version that cannot be rewritten keeps the notes of those it
names, with the reason, and nobody else's.

No interleaving with a refresh leaves anything. A snapshot can only hold the node if its refresh
began before the node was gone. If that refresh is still building when the note would be removed,
the note stays, and the refresh calls `finish_deletions` itself, when its snapshot is ready and not
yet active. If its snapshot is ready, either it was rewritten, or the note stays and the stored
versions are read again.
"""

import hashlib
import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from loaders.catalogue import catalogue
from loaders.errors import Neo4jError, Neo4jUnavailableError
from loaders.gateway import Gateway, Row, Transaction
from loaders.part_swap import claimed, drop_left_parts
from loaders.parts import PartName, digest_of, stored_names, stored_part
from recsvc.errors import DeletionPendingError, NotFoundError, SnapshotError
from recsvc.evaluation.splits import id_numbers
from recsvc.evidence import EvidenceKind
from recsvc.graph.change_store import changes_step, redact_changes, redact_newest_changes
from recsvc.graph.outcome_store import drop_outcomes
from recsvc.graph.rows import PendingDeletions, pending_of
from recsvc.snapshot import arrays as snapshots
from recsvc.snapshot import folders
from recsvc.snapshot.forgetting import Kept, ids_in, rewritten

_PATIENCE_SECONDS = 600.0
"""How long to go on while others rewrite the same snapshots; each time one of all gets through."""
_REASON_CHARACTERS = 300


@dataclass(frozen=True, slots=True, order=True)
class DeletedNode:
    """A node that is to be deleted, by its outer id."""

    kind: EvidenceKind
    id: str

    @property
    def digest(self) -> str:
        """What a note calls it: the id itself is deleted, in notes too."""
        return _digest(self.kind, self.id)


def delete_user(
    gateway: Gateway, user_id: str, *, snapshot_folder: Path, keeps_changes: bool = False
) -> None:
    """Delete one user, everything derived from them, and the copies of it on this disk.

    Args:
        gateway: the graph.
        user_id: who.
        snapshot_folder: where services of this machine unpack snapshots.
        keeps_changes: whether the feed of changes is told.

    Raises:
        NotFoundError: there is no such user.
        Neo4jError: the graph cannot be written; what was begun is finished by the next deletion.
    """
    node = DeletedNode("user", user_id)
    if not delete_nodes(gateway, [node], keeps_changes=keeps_changes)[0]:
        raise NotFoundError(f"no user {user_id!r} in the graph")
    forget_on_disk(gateway, snapshot_folder)


def pending_deletions(gateway: Gateway) -> PendingDeletions:
    """The deletions that are not finished.

    Raises:
        Neo4jError: the graph cannot be read.
    """
    return pending_of(_notes(gateway))


def delete_nodes(
    gateway: Gateway, nodes: Sequence[DeletedNode], *, keeps_changes: bool = False
) -> list[bool]:
    """Delete nodes and everything derived from them in Neo4j.

    Args:
        gateway: the graph.
        nodes: which.
        keeps_changes: whether the feed of changes is told.

    Returns:
        For each whether there was such a node, or one whose deletion had been left unfinished.

    Raises:
        Neo4jError: the graph cannot be written.
        DeletionPendingError: one is gone, and some stored arrays still name it.
    """
    answers = delete_each(gateway, nodes, keeps_changes=keeps_changes)
    for answer in answers:
        if isinstance(answer, DeletionPendingError):
            raise answer
    return [bool(answer) for answer in answers]


def delete_each(
    gateway: Gateway, nodes: Sequence[DeletedNode], *, keeps_changes: bool = False
) -> list[bool | DeletionPendingError]:
    """As `delete_nodes`, but with what keeps one from being finished as its answer.

    Raises:
        Neo4jError: the graph cannot be written.
    """
    for node in sorted(set(nodes)):
        if node.kind != "category":  # their number has no bound, so they go part by part
            drop_outcomes(gateway, f"{node.kind}_id", node.id)
        if gateway.graph is None:  # of somebody else's there is no feed
            redact_changes(gateway, node.kind, node.id)

    def remove(transaction: Transaction) -> list[DeletedNode]:
        gone = _remove(transaction, set(nodes))
        if gateway.graph is None:
            _tell(transaction, gone, keeps_changes=keeps_changes)
        return gone

    removed: set[DeletedNode] = {cast(DeletedNode, node) for node in gateway.write(remove)}
    try:
        noted = finish_deletions(gateway)
    except DeletionPendingError as error:
        return [
            error if n.digest in error.pending else n in removed or n.digest in error.noted
            for n in nodes
        ]
    return [node in removed or node.digest in noted for node in nodes]


def finish_deletions(gateway: Gateway) -> Collection[str]:
    """Rewrite every stored snapshot without the nodes that notes of deletions name.

    What versions hold of their validation users is rewritten too.

    Returns:
        The digests of the nodes there were notes of.

    Raises:
        Neo4jError: the graph cannot be read or written.
        DeletionPendingError: some versions could not be rewritten; all others were.
    """
    seen: set[str] = set()
    done: set[int] | None = None
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while notes := _notes(gateway):
        seen |= {note["digest"] for note in notes}
        versions = {row["version"] for row in gateway.run(catalogue()["delete/stored_snapshots"])}
        if done is not None and versions <= done:
            break  # the notes that are left wait for a refresh that is at work
        failed = _rewrite_all(gateway, versions, notes, deadline)
        failed += _drop_left(gateway, notes)
        gateway.run(catalogue()["delete/drop_failed_parts"])
        numbers = [n["number"] for n in notes if n["kind"] == "user" and n["number"] is not None]
        gateway.run(catalogue()["delete/forget_validated"], numbers=numbers)
        pending = {digest for deletion in failed for digest in deletion.pending}
        ended = [note["note"] for note in notes if note["digest"] not in pending]
        gateway.run(catalogue()["delete/end_deletions"], notes=ended, versions=sorted(versions))
        if failed:
            raise _pending(gateway, notes, failed, seen)
        done = versions
    return seen


def finish_before_activation(gateway: Gateway, version: int) -> None:
    """Rewrite a version that is ready without the nodes that notes of deletions name.

    Others are rewritten too, as far as they can be: one that cannot keeps its notes, and nothing of
    it is in the way of this one.

    Raises:
        Neo4jError: the graph cannot be read or written.
        DeletionPendingError: this version could not be rewritten.
    """
    try:
        finish_deletions(gateway)
    except DeletionPendingError as error:
        if version in error.versions:
            raise


def existing(
    gateway: Gateway, user_ids: Collection[str], item_ids: Collection[str]
) -> tuple[frozenset[str], frozenset[str]]:
    """Those of some users, and of some items, that are in the graph at this moment."""
    parameters = {"user_ids": list(user_ids), "item_ids": list(item_ids)}
    rows = gateway.run(catalogue()["delete/existing"], **parameters)
    users, items = (
        frozenset(row["id"] for row in rows if row["kind"] == kind) for kind in ("user", "item")
    )
    return users, items


def forget_on_disk(gateway: Gateway, snapshot_folder: Path) -> None:
    """Remove unpacked snapshots that are not stored in Neo4j as they are."""
    there = folders.unpacked(snapshot_folder)
    stored = gateway.run(catalogue()["delete/stored_snapshots"])
    names = {folders.folder_name(row["version"], row["sha256"]) for row in stored}
    folders.keep_only(there, names)


def _notes(gateway: Gateway) -> list[Row]:
    """The notes of deletions that can be read; a service names the others."""
    (row,) = gateway.run(catalogue()["delete/deletions"])
    return row["notes"]


def _remove(transaction: Transaction, nodes: Collection[DeletedNode]) -> list[DeletedNode]:
    """Delete the nodes that exist and note each."""
    removed: list[DeletedNode] = []
    kinds: tuple[EvidenceKind, ...] = ("user", "item", "category")
    for kind in kinds:
        rows = [
            {"id": n.id, "digest": n.digest, "number": int(id_numbers([n.id])[0])}
            for n in sorted(nodes)
            if n.kind == kind
        ]
        if rows:
            answer = transaction.run(catalogue()[f"delete/delete_{kind}"], rows=rows)
            removed += [DeletedNode(kind, row["id"]) for row in answer]
    return removed


def _tell(transaction: Transaction, gone: Sequence[DeletedNode], *, keeps_changes: bool) -> None:
    """Tell the feed of changes which nodes are gone, by their digests, and nothing else of them."""
    for node in gone:
        redact_newest_changes(transaction, node.kind, node.id)
    if gone and keeps_changes:
        query, given = changes_step(
            [{"change": "deletion", "kind": node.kind, "digest": node.digest} for node in gone]
        )
        transaction.run(query, **given)


@dataclass(frozen=True, slots=True)
class _Failure:
    """A version that could not be rewritten, and the nodes it may still name."""

    version: int
    reason: str
    pending: frozenset[str]


def _rewrite_all(
    gateway: Gateway, versions: Collection[int], notes: Sequence[Row], deadline: float
) -> list[_Failure]:
    """Rewrite each version without the nodes noted; what stops one stops no other."""
    failed: list[_Failure] = []
    for version in sorted(versions):
        stored = _Stored(gateway, version)
        try:
            stored.rewrite(notes, deadline)
        except Neo4jUnavailableError:
            raise
        except (Neo4jError, SnapshotError) as error:
            if not stored.give_up(error):
                reason = f"hybrid {version}: {error}"[:_REASON_CHARACTERS]
                failed.append(_Failure(version, reason, stored.named))
    return failed


def _drop_left(gateway: Gateway, notes: Sequence[Row]) -> list[_Failure]:
    """Remove the parts that were rewritten; they may name anybody."""
    try:
        drop_left_parts(gateway)
    except Neo4jUnavailableError:
        raise
    except Neo4jError as error:
        named = frozenset(note["digest"] for note in notes)
        return [_Failure(0, str(error)[:_REASON_CHARACTERS], named)]
    return []


def _pending(
    gateway: Gateway, notes: Sequence[Row], failed: Sequence[_Failure], noted: Collection[str]
) -> DeletionPendingError:
    reason = "; ".join(deletion.reason for deletion in failed)
    pending = frozenset(digest for deletion in failed for digest in deletion.pending)
    waiting = [note["note"] for note in notes if note["digest"] in pending]
    gateway.run(catalogue()["delete/note_failure"], notes=waiting, reason=reason)
    return DeletionPendingError(
        reason, pending=pending, noted=noted, versions=[deletion.version for deletion in failed]
    )


class _DamagedError(SnapshotError):
    """What is stored can be read by nobody."""


class _Stored:
    """The stored arrays of one version, while they are rewritten.

    Attributes:
        named: digests of the nodes that it may name.
    """

    def __init__(self, gateway: Gateway, version: int) -> None:
        self._gateway = gateway
        self._version = version
        self._names: list[PartName] = []
        self.named: frozenset[str] = frozenset()

    def rewrite(self, notes: Sequence[Row], deadline: float) -> None:
        """Rewrite them without the nodes noted, again where they changed meanwhile.

        Raises:
            SnapshotError: they are damaged, or keep changing.
            Neo4jError: the graph cannot be read or written.
        """
        while time.monotonic() < deadline:
            self.named = frozenset(note["digest"] for note in notes)
            old = self._look()
            if old is None:
                return
            if self._rewritten(old, notes, deadline):
                return
        raise SnapshotError(
            f"others kept rewriting hybrid {self._version} for {_PATIENCE_SECONDS:g} s: the next "
            "deletion or refresh finishes this one"
        )

    def give_up(self, error: Exception) -> bool:
        """Take the arrays from a version that is not active, where nobody can read them."""
        if not isinstance(error, _DamagedError):
            return False
        rows = self._gateway.run(catalogue()["delete/give_up_parts"], version=self._version)
        return rows[0]["given_up"]

    def _look(self) -> str | None:
        """SHA-256 of what is stored at this moment; None where nothing is."""
        stored = self._gateway.run(catalogue()["delete/stored_snapshots"])
        sha256 = {row["version"]: row["sha256"] for row in stored}.get(self._version)
        self._names = stored_names(self._gateway, self._version) if sha256 else []
        return sha256

    def _rewritten(self, old: str, notes: Sequence[Row], deadline: float) -> bool:
        """Whether nothing noted is left; False where they changed meanwhile."""
        try:
            manifest = self._manifest(old)
            rows_left, self.named = _kept(manifest, notes)
            if not self.named:
                return True
            with claimed(self._gateway, self._version, old, deadline=deadline) as swap:
                parts = rewritten(manifest, rows_left, self._contents)
                return swap is not None and swap.replace(self._names, parts) is not None
        except _DamagedError:
            if self._look() == old:
                raise
            return False

    def _manifest(self, sha256: str) -> dict[str, Any]:
        if digest_of(self._names) != sha256:
            raise self._damaged()
        text = b"".join(self._contents(snapshots.MANIFEST))
        return snapshots.read_manifest(text, f"hybrid {self._version}")

    def _contents(self, entry: str) -> Iterator[bytes]:
        names = [name for name in self._names if name.entry == entry]
        if not names:
            raise self._damaged()
        for name in names:
            part = stored_part(self._gateway, self._version, name)
            if part is None or part.name != name:
                raise self._damaged()
            yield part.content

    def _damaged(self) -> _DamagedError:
        return _DamagedError(
            f"the stored arrays of hybrid {self._version} are damaged, or of an older recsvc: "
            "run `recsvc refresh`"
        )


def _kept(manifest: Mapping[str, Any], notes: Sequence[Row]) -> tuple[Kept, frozenset[str]]:
    """Which nodes of a snapshot stay, and the digests of those that do not."""
    digests: defaultdict[str, set[str]] = defaultdict(set)
    for note in notes:
        digests[note["kind"]].add(note["digest"])
    named: set[str] = set()
    rows_left: dict[EvidenceKind, Any] = {}
    for kind, ids_of_kind in ids_in(manifest).items():
        rows_left[kind] = np.ones(len(ids_of_kind), bool)
        for row, identifier in enumerate(ids_of_kind if digests[kind] else ()):
            if (digest := _digest(kind, identifier)) in digests[kind]:
                rows_left[kind][row] = False
                named.add(digest)
    return rows_left, frozenset(named)


def _digest(kind: str, identifier: str) -> str:
    return hashlib.sha256(f"{kind}\0{identifier}".encode()).hexdigest()
