"""Deletion of users, items and categories with all that is derived from them.

The node goes in one transaction, with its relationships, embeddings and ledger entries, and a
`(:Deletion)` note stays that names it by a digest. Then every stored snapshot is rewritten without
it, and only then the note is removed. So what was interrupted is known, and finished by the next
start of a service, deletion or refresh.

No interleaving with a refresh leaves anything. A snapshot can only hold the node if its refresh
began before the node was gone. If that refresh is still building when the note would be removed,
the note stays, and the refresh calls `finish_deletions` itself, when its snapshot is ready and not
yet active. If its snapshot is ready, either it was rewritten, or the note stays and the stored
versions are read again.
"""

import hashlib
import time
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from loaders.catalogue import catalogue
from loaders.gateway import Gateway, Row, Transaction
from recsvc import snapshot as snapshots
from recsvc.errors import NotFoundError, SnapshotError
from recsvc.evidence import EvidenceKind
from recsvc.snapshot import Snapshot
from recsvc.splits import id_numbers

if TYPE_CHECKING:
    from loaders.types import IdMap

_PART_BYTES = 4 * 1024 * 1024
_PATIENCE_SECONDS = 60.0
"""How long to go on while others rewrite the same snapshots; each time one of all gets through."""


@dataclass(frozen=True, slots=True, order=True)
class DeletedNode:
    """A node that is to be deleted, by its outer id."""

    kind: EvidenceKind
    id: str

    @property
    def digest(self) -> str:
        """What a note calls it: the id itself is deleted, in notes too."""
        return _digest(self.kind, self.id)


def delete_user(gateway: Gateway, user_id: str, *, snapshot_folder: Path) -> None:
    """Delete one user, everything derived from them, and the copies of it on this disk.

    Args:
        gateway: the graph.
        user_id: who.
        snapshot_folder: where services of this machine unpack snapshots.

    Raises:
        NotFoundError: there is no such user.
        Neo4jError: the graph cannot be written; what was begun is finished by the next deletion.
    """
    if not delete_nodes(gateway, [DeletedNode("user", user_id)])[0]:
        raise NotFoundError(f"no user {user_id!r} in the graph")
    forget_on_disk(gateway, snapshot_folder)


def delete_nodes(gateway: Gateway, nodes: Sequence[DeletedNode]) -> list[bool]:
    """Delete nodes and everything derived from them in Neo4j.

    Returns:
        For each whether there was such a node, or one whose deletion had been left unfinished.

    Raises:
        Neo4jError: the graph cannot be written.
        SnapshotError: a stored snapshot is damaged.
    """
    found: set[DeletedNode] = {
        cast(DeletedNode, node)
        for node in gateway.write(lambda transaction: _remove(transaction, set(nodes)))
    }
    noted = finish_deletions(gateway)
    return [node in found or node.digest in noted for node in nodes]


def finish_deletions(gateway: Gateway) -> Collection[str]:
    """Rewrite every stored snapshot without the nodes that notes of deletions name.

    What versions hold of their validation users is rewritten too.

    A refresh calls this when its versions are ready and not yet active.

    Returns:
        The digests of the nodes there were notes of.

    Raises:
        Neo4jError: the graph cannot be read or written.
        SnapshotError: a stored snapshot is damaged, or keeps changing.
    """
    seen: set[str] = set()
    done: set[int] | None = None
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        notes = gateway.run(catalogue()["rest/deletions"])
        if not notes:
            return seen
        seen |= {note["digest"] for note in notes}
        stored = gateway.run(catalogue()["rest/stored_snapshots"])
        if done is not None and {row["version"] for row in stored} <= done:
            return seen  # the notes that are left wait for a refresh that is at work
        done = {row["version"] for row in stored if _rewrite(gateway, row, notes)}
        gateway.run(catalogue()["rest/drop_failed_parts"])
        numbers = [note["number"] for note in notes if note["kind"] == "user"]
        gateway.run(catalogue()["rest/forget_validated"], numbers=numbers)
        gateway.run(
            catalogue()["rest/end_deletions"],
            notes=[note["note"] for note in notes],
            versions=sorted(done),
        )
    raise SnapshotError(
        f"others kept rewriting the stored snapshots for {_PATIENCE_SECONDS:g} s: "
        "nothing is forgotten; the next deletion or refresh finishes this one"
    )


def stored_content(gateway: Gateway, version: int) -> bytes:
    """The stored arrays of a version of the blend; nothing where it has none."""
    parts: list[bytes] = []
    query = catalogue()["serve/snapshot_part"]
    while rows := gateway.run(query, version=version, number=len(parts)):
        parts.append(rows[0]["content"])
    return b"".join(parts)


def existing(
    gateway: Gateway, user_ids: Collection[str], item_ids: Collection[str]
) -> tuple[frozenset[str], frozenset[str]]:
    """Those of some users, and of some items, that are in the graph at this moment."""
    parameters = {"user_ids": list(user_ids), "item_ids": list(item_ids)}
    rows = gateway.run(catalogue()["rest/existing"], **parameters)
    users, items = (
        frozenset(row["id"] for row in rows if row["kind"] == kind) for kind in ("user", "item")
    )
    return users, items


def forget_on_disk(gateway: Gateway, snapshot_folder: Path) -> None:
    """Remove unpacked snapshots that are not stored in Neo4j as they are."""
    there = snapshots.unpacked(snapshot_folder)
    stored = gateway.run(catalogue()["rest/stored_snapshots"])
    names = {snapshots.folder_name(row["version"], row["sha256"]) for row in stored}
    snapshots.keep_only(there, names)


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
            answer = transaction.run(catalogue()[f"rest/delete_{kind}"], rows=rows)
            removed += [DeletedNode(kind, row["id"]) for row in answer]
    return removed


def _rewrite(gateway: Gateway, stored: Row, notes: Sequence[Row]) -> bool:
    """Store a version's snapshot without the nodes noted; False where it changed meanwhile."""
    version, old = stored["version"], stored["sha256"]
    content = stored_content(gateway, version)
    if hashlib.sha256(content).hexdigest() != old:
        return _refuse_damaged(gateway, version, old)
    snapshot = snapshots.read(content, old)
    dropped = _named(snapshot, notes)
    if not any(dropped.values()):
        return True
    content, new = snapshots.pack(snapshot.without(dropped))
    starts = range(0, len(content), _PART_BYTES)
    answer = gateway.run(
        catalogue()["rest/replace_snapshot"],
        version=version,
        old=old,
        new=new,
        parts=[content[start : start + _PART_BYTES] for start in starts],
    )
    return answer[0]["replaced"]


def _refuse_damaged(gateway: Gateway, version: int, old: str) -> bool:
    """False where the version was rewritten while its parts were read.

    Raises:
        SnapshotError: it was not.
    """
    now = {r["version"]: r["sha256"] for r in gateway.run(catalogue()["rest/stored_snapshots"])}
    if now.get(version) == old:
        raise SnapshotError(f"the stored arrays of hybrid {version} are damaged: refresh twice")
    return False


def _named(snapshot: Snapshot, notes: Sequence[Row]) -> Mapping[EvidenceKind, list[str]]:
    """The ids in a snapshot that notes name."""
    digests: defaultdict[str, set[str]] = defaultdict(set)
    for note in notes:
        digests[note["kind"]].add(note["digest"])
    ids: dict[EvidenceKind, IdMap] = {
        "user": snapshot.users,
        "item": snapshot.items,
        "category": snapshot.categories,
    }
    return {
        kind: [i for i in known if _digest(kind, i) in digests[kind]]
        for kind, known in ids.items()
        if digests[kind]
    }


def _digest(kind: str, identifier: str) -> str:
    return hashlib.sha256(f"{kind}\0{identifier}".encode()).hexdigest()
