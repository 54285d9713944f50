"""Taking away all that was written into the graph of somebody else."""

from loaders.catalogue import catalogue
from loaders.embedding_models import EMBEDDING_MODELS
from loaders.errors import ForeignGraphError
from loaders.gateway import Gateway

_VECTORS_PER_TRANSACTION = 1_000


def remove_ours(gateway: Gateway) -> dict[str, int]:
    """Remove versions, their arrays, the lease, vectors, their indexes, `SIMILAR` and the ledger.

    What was written over HTTP as the owner's nodes and relationships stays.

    Returns:
        How many of each.

    Raises:
        ForeignGraphError: the graph is not mapped: it is ours as a whole.
        Neo4jError: the graph cannot be written.
    """
    graph = gateway.graph
    if graph is None:
        raise ForeignGraphError("no [graph] in recsvc.toml: there is nothing to detach from")
    removed = {"nodes": 0, "similar": 0, "vectors": 0}
    if graph.writes == "none":
        return removed
    named = catalogue()
    removed["nodes"] = gateway.run(named["attach/drop_versions"])[0]["dropped"]
    removed["nodes"] += gateway.run(named["attach/drop_events"])[0]["dropped"]
    if graph.writes == "all":
        for constraint in ("event_id", "write_lock"):
            gateway.run(named[f"attach/drop_constraint[{constraint}]"])
        for index in ("event_user", "event_item"):
            gateway.run(named[f"attach/drop_index[{index}]"])
    removed["similar"] = gateway.run(named["attach/drop_similar"])[0]["dropped"]
    for model in EMBEDDING_MODELS:
        for slot in ("a", "b"):
            for label in ("User", "Item"):
                kind = label.lower()
                gateway.run(named[f"attach/drop_vector_index[{kind},{model},{slot}]"])
                clear = named[f"writeback/clear_vectors[{label},{model},{slot}]"]
                while cleared := gateway.run(clear, limit=_VECTORS_PER_TRANSACTION)[0]["cleared"]:
                    removed["vectors"] += cleared
    return removed
