"""Making versions active that were so before.

Answers come from the stored arrays of the blend, and similar users from a slot, so a version can be
active again for as long as both are there. The versions that one refresh made belong together:
they become active in one transaction. It takes the lock of all writers first, as a refresh does
when it takes a slot for its own vectors, so it never relies on a slot that is being overwritten.
"""

from collections.abc import Sequence

from loaders import writeback
from loaders.catalogue import catalogue
from loaders.gateway import Gateway, Row, Transaction
from loaders.parts import stored_parts
from loaders.stored_json import json_object
from recsvc.errors import ActivationError, NotFoundError, SnapshotError
from recsvc.signals.neighbours import nearest_items
from recsvc.snapshot import arrays as snapshots
from recsvc.snapshot.arrays import Snapshot

_HYBRID = "hybrid"


def activate(gateway: Gateway, model: str, version: int) -> dict[str, int]:
    """Make the versions active that the refresh of one version made; again, it changes nothing.

    Args:
        gateway: the graph.
        model: name of a model.
        version: number of its version.

    Returns:
        The numbers of the versions, by model.

    Raises:
        NotFoundError: there is no such version.
        ActivationError: they were never active, or what they are served from is gone.
        Neo4jError: the graph cannot be written.
    """
    return gateway.write(lambda transaction: _flip(transaction, model, version))


def roll_back(gateway: Gateway, model: str) -> dict[str, int]:
    """Make the versions active that were before the active ones.

    That is, of the older versions of the blend the one that was active last, and what its refresh
    made. It never goes forth to a newer one, so asked twice it goes back twice or says why not.

    Args:
        gateway: the graph.
        model: name of a model; they are all rolled back together.

    Returns:
        The numbers of the versions, by model.

    Raises:
        NotFoundError: there is no such model.
        ActivationError: there was none before, or what it is served from is gone.
        Neo4jError: the graph cannot be written.
    """

    def flip(transaction: Transaction) -> dict[str, int]:
        (versions,) = transaction.run(catalogue()["writeback/version_before"], model=model)
        if not versions["known"]:
            raise NotFoundError(f"no version of {model!r}: `recsvc versions` lists those there are")
        if versions["before"] is None:
            active = f"{_HYBRID} {versions['active']}" if versions["active"] else "none"
            raise ActivationError(f"nothing to roll back to: {active} is active, and none before")
        return _flip(transaction, _HYBRID, versions["before"])

    return gateway.write(flip)


def stored_snapshot(gateway: Gateway, version: int) -> Snapshot:
    """The stored arrays of a version of the blend.

    Raises:
        SnapshotError: they are damaged, or were rewritten meanwhile.
        Neo4jError: the graph cannot be read.
    """
    rows = gateway.run(catalogue()["writeback/run_of_version"], model=_HYBRID, version=version)
    sha256 = next((row["sha256"] for row in rows if row["model"] == _HYBRID), "")
    return snapshots.read(stored_parts(gateway, version), sha256)


def write_neighbours(
    gateway: Gateway,
    snapshot: Snapshot,
    progress: writeback.Progress = lambda _what, _done, _total: None,
) -> None:
    """Replace SIMILAR relationships by those of an active version of the blend.

    Nothing more is written once another version is active.

    Args:
        gateway: the graph.
        snapshot: the arrays of the version.
        progress: told what is done.

    Raises:
        SnapshotError: nothing says how many neighbours an item has.
        Neo4jError: the graph cannot be read or written.
    """
    version = snapshot.versions[_HYBRID]
    rows = gateway.run(catalogue()["writeback/run_of_version"], model=_HYBRID, version=version)
    # All versions of a run hold its options; of one that was edited by hand they may be no JSON.
    options = (json_object(row["options"]) or {} for row in rows)
    k = next(
        (recorded["similar_items"] for recorded in options if "similar_items" in recorded), None
    )
    if k is None:
        raise SnapshotError(
            f"the options of hybrid {version} cannot be read, so SIMILAR stays as it is: "
            "run `recsvc refresh`"
        )
    for row in rows:
        vectors = snapshot.item_vectors(row["model"])
        if vectors is not None:
            name = row["model"]

            def told(done: int, what: str = f"{name} nearest items") -> None:
                progress(what, done, len(snapshot.items))

            neighbours, scores = nearest_items(vectors, k, told=told)
            own = writeback.Version(name, row["version"], row["slot"], row["status"])
            writeback.write_similar(gateway, own, snapshot.items, neighbours, scores, progress)


def _flip(transaction: Transaction, model: str, version: int) -> dict[str, int]:
    query = catalogue()["writeback/run_of_version"]
    rows = transaction.run(query, model=model, version=version)
    if not rows:
        raise NotFoundError(
            f"no version {version} of {model!r}: `recsvc versions` lists those there are"
        )
    if missing := _missing(rows):
        raise ActivationError(f"{model} {version} cannot be made active: {'; '.join(missing)}")
    wanted = {row["model"]: row["version"] for row in rows}
    transaction.run(
        catalogue()["writeback/activate"],
        versions=[{"model": name, "version": number} for name, number in wanted.items()],
        statuses=["retired"],
        overridden=None,
    )
    return wanted


def _missing(rows: Sequence[Row]) -> list[str]:
    """What keeps the versions of one refresh from being served, in words."""
    reasons: list[str] = []
    if _HYBRID not in {row["model"] for row in rows}:
        reasons.append("the refresh that made it made no blend")
    for row in rows:
        name = f"{row['model']} {row['version']}"
        if row["status"] not in ("active", "retired"):
            reasons.append(f"{name} is {row['status']} and never was active")
        elif row["model"] == _HYBRID and not row["parts"]:
            reasons.append(f"the arrays of {name} are no longer stored")
        elif row["model"] != _HYBRID and row["slot"] is None:
            reasons.append(f"a later refresh took the slot of {name}")
    return reasons
