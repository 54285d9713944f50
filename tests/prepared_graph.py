"""Graphs that one module of tests has made, and all others that want the same have made again.

To refresh a graph takes ten seconds, and half a minute where Neo4j has yet to plan what a refresh
runs; to write the same nodes and relationships takes one. The workers of a run share them.
"""

import fcntl
import os
import pickle
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import pytest

from loaders.catalogue import Query
from loaders.gateway import Neo4jGateway

_PER_TRANSACTION = 5_000
_VERSION = Query(
    "tests/version", "The version of Neo4j.", "read", {}, {},
    "CALL dbms.components() YIELD versions RETURN versions[0] AS version",
)  # fmt: skip
_NODES = Query(
    "tests/all_nodes", "All nodes.", "read", {}, {},
    "MATCH (n) RETURN elementId(n) AS id, labels(n) AS labels, properties(n) AS properties",
)  # fmt: skip
_RELATIONSHIPS = Query(
    "tests/all_relationships", "All relationships.", "read", {}, {},
    "MATCH (a)-[r]->(b) RETURN elementId(a) AS start, elementId(b) AS end, type(r) AS type, "
    "properties(r) AS properties",
)  # fmt: skip
# These do not take the lock of writers, whose node is one of those that are written. And Neo4j
# does not know how long the rows in a map are, for which it would plan again.
_MAKE_NODES = Query(
    "tests/make_nodes", "Nodes, and the ids they get.", "autocommit", {"all": "map"}, {},
    "UNWIND $all.rows AS row CREATE (n:$(row.labels)) SET n = row.properties "
    "RETURN row.id AS old, elementId(n) AS new",
)  # fmt: skip
_MAKE_RELATIONSHIPS = Query(
    "tests/make_relationships", "Relationships.", "autocommit", {"all": "map"}, {},
    "UNWIND $all.rows AS row MATCH (a) WHERE elementId(a) = row.start "
    "MATCH (b) WHERE elementId(b) = row.end "
    "CREATE (a)-[r:$(row.type)]->(b) SET r = row.properties",
)  # fmt: skip
DELETE_ALL = Query(
    "tests/delete_all", "Empties the database.", "autocommit", {}, {},
    "MATCH (n) CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 5000 ROWS",
)  # fmt: skip

Rows = list[dict[str, Any]]
T = TypeVar("T")


def read_all(gateway: Neo4jGateway) -> tuple[Rows, Rows]:
    """All nodes and all relationships."""
    return gateway.run(_NODES), gateway.run(_RELATIONSHIPS)


def write_all(gateway: Neo4jGateway, nodes: Rows, relationships: Rows) -> None:
    """Empty the database, and make what was read; constraints and indexes stay as they are."""
    gateway.run(DELETE_ALL)
    ids: dict[str, str] = {}
    for first in range(0, len(nodes), _PER_TRANSACTION):
        rows = nodes[first : first + _PER_TRANSACTION]
        made = gateway.run(_MAKE_NODES, all={"rows": rows})
        ids |= {row["old"]: row["new"] for row in made}
    links = [r | {"start": ids[r["start"]], "end": ids[r["end"]]} for r in relationships]
    for first in range(0, len(links), _PER_TRANSACTION):
        rows = links[first : first + _PER_TRANSACTION]
        gateway.run(_MAKE_RELATIONSHIPS, all={"rows": rows})


def prepared(
    gateway: Neo4jGateway,
    folders: pytest.TempPathFactory,
    key: Any,
    tables: Path,
    make: Callable[[Path], T],
    home: Path | None = None,
) -> tuple[T, Path]:
    """Have a graph made, or made again as it was when this line of Neo4j first had it.

    Args:
        gateway: the database, with all constraints and indexes.
        folders: where the run of the tests has its folders.
        key: of what it is made, besides the tables.
        tables: a folder of files of which it is made.
        make: makes it in the emptied database, with a home that it is given.
        home: where the home is to be; None: in a folder of its own.

    Returns:
        What `make` returned, and the home as it left it.
    """
    home = home or folders.mktemp("home")
    home.mkdir(exist_ok=True)
    contents = [(file.name, file.read_bytes()) for file in sorted(tables.iterdir())]
    whole = repr((gateway.run(_VERSION), key, contents)).encode()
    shared = folders.getbasetemp()
    shared = shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared
    folder = shared / f"graph-{sha256(whole).hexdigest()}"
    with folder.with_suffix(".lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            gateway.run(DELETE_ALL)
            made = make(home)
            shutil.copytree(home, folder.with_suffix(".home"))
            folder.write_bytes(pickle.dumps((made, *read_all(gateway))))
            return made, home
    made, nodes, relationships = pickle.loads(folder.read_bytes())
    write_all(gateway, nodes, relationships)
    shutil.copytree(folder.with_suffix(".home"), home, dirs_exist_ok=True)
    return made, home
