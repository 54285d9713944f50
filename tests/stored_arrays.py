"""Versions of the blend with made arrays, written as a refresh writes them."""

import hashlib

import numpy as np
import scipy.sparse as sp

from loaders import writeback
from loaders.gateway import Neo4jGateway
from loaders.parts import PartName, digest_of, stored_parts
from loaders.types import IdMap
from recsvc.blend.blend import Blend
from recsvc.signals import EmbeddingSignal, RowSignal
from recsvc.snapshot.arrays import Snapshot, pack
from tests.statement import statement


def made_snapshot(version: int, *, items: int, users: int, entries: int) -> Snapshot:
    """Random arrays, about as a refresh makes them.

    Args:
        version: of the blend.
        items: how many, `i0` and so on.
        users: how many, `u0` and so on.
        entries: in a row of the kernel.
    """
    rng = np.random.default_rng(version)
    ids = IdMap.from_unsorted(f"i{n}" for n in range(items))
    people = IdMap.from_unsorted(f"u{n}" for n in range(users))
    categories = IdMap(["c1", "c2"])
    source, target = rng.normal(size=(2, items, 64)).astype(np.float32)

    def rows(count: int, each: int) -> sp.csr_matrix:
        columns = rng.integers(0, items, (count, each), dtype=np.int32)
        columns.sort(axis=1)
        values = rng.random(count * each, dtype=np.float32)
        starts = np.arange(0, count * each + 1, each, dtype=np.int64)
        return sp.csr_matrix((values, columns.ravel(), starts), shape=(count, items))

    return Snapshot(
        versions={"hybrid": version},
        items=ids,
        categories=categories,
        users=people,
        user_counts=rng.integers(0, 9, users),
        item_people=rng.integers(0, 9, items),
        titles=tuple(f"Song {n}" for n in range(items)),
        available=np.ones(items, bool),
        in_category=sp.csr_matrix(rng.random((items, 2)) < 0.5),
        blend=Blend(
            (
                EmbeddingSignal("lightgcn", ids, source, target),
                RowSignal("ridge", "item", ids, rows(items, entries)),
                RowSignal("followed_user_item", "user", people, rows(users, 50)),
            ),
            (1.0, 0.5, 0.25),
            rng.random(items).astype(np.float32),
            0.1,
        ),
    )


def store(gateway: Neo4jGateway, version: int, made: Snapshot, status: str = "active") -> str:
    """Store a version, and its nodes; the SHA-256 of its arrays."""
    content, sha256 = pack(made)
    statement(
        gateway,
        "CREATE (:EmbeddingVersion {model: 'hybrid', version: $version, sha256: $sha256, "
        "status: 'building'})",
        version=version, sha256=sha256,
    )  # fmt: skip
    writeback.write_snapshot(gateway, version, content)
    statement(
        gateway,
        "MATCH (v:EmbeddingVersion {model: 'hybrid', version: $version}) SET v.status = $status",
        version=version, status=status,
    )  # fmt: skip
    for label, ids in (("User", made.users), ("Item", made.items)):
        name = f"{label.lower()}_id"
        statement(gateway, f"UNWIND $ids AS id MERGE (n:{label} {{{name}: id}})", ids=list(ids))  # pyright: ignore[reportArgumentType]
    return sha256


def sha_of(gateway: Neo4jGateway, version: int) -> str:
    """What the version says it holds."""
    (row,) = statement(
        gateway,
        "MATCH (v:EmbeddingVersion {model: 'hybrid', version: $version}) RETURN v.sha256 AS sha256",
        version=version,
    )
    return row["sha256"]


def held(gateway: Neo4jGateway, version: int) -> str:
    """The SHA-256 of what can be read of it, a part at a time."""
    return digest_of(part.name for part in stored_parts(gateway, version))


def parts_left(gateway: Neo4jGateway) -> list[str]:
    """How the parts hang on versions that are not what these hold, and parts on none."""
    return [
        row["how"]
        for row in statement(
            gateway,
            "MATCH (p:SnapshotPart) OPTIONAL MATCH (v)-[r]->(p) WITH p, collect(type(r)) AS how "
            "WHERE how <> ['HAS_PART'] RETURN how",
        )
    ]


def names_of(gateway: Neo4jGateway, version: int) -> set[PartName]:
    """The parts of a version."""
    return {part.name for part in stored_parts(gateway, version)}


def digest(kind: str, identifier: str) -> str:
    """What a note of a deletion calls a node."""
    return hashlib.sha256(f"{kind}\0{identifier}".encode()).hexdigest()
