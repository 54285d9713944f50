"""Whether a graph is in the form that is expected of it: ours, or what a mapping says."""

from loaders.catalogue import catalogue
from loaders.errors import ForeignGraphError
from loaders.gateway import Gateway


def require_form(gateway: Gateway) -> None:
    """Go on only if there is something to learn from, or nothing at all.

    Raises:
        ForeignGraphError: the graph is not in our form and not mapped, or has no users or no items
            by its mapping.
        Neo4jError: it cannot be read.
    """
    (row,) = gateway.run(catalogue()["extract/form"])
    graph = gateway.graph
    if graph is None and (row["users"] or row["items"] or not row["others"]):
        return
    if graph is not None and row["users"] and row["items"]:
        return
    missing = "user" if not row["labelled_users"] else "item"
    if graph is None:
        what = f":{missing.capitalize()}"
        if row["labelled_items"] and missing == "item":
            what = ":User with a user_id and no :Item with an item_id"
        raise ForeignGraphError(f"this graph has no {what}: map it with `recsvc attach`")
    label = (graph.item if row["users"] else graph.user).label
    raise ForeignGraphError(
        f"this graph has no :{label} that counts by [graph] in recsvc.toml: "
        "`recsvc attach --check` says what was found"
    )


def refuse_own_form(gateway: Gateway) -> None:
    """Go on only if a graph needs a mapping.

    Raises:
        ForeignGraphError: it is in our form, or empty.
        Neo4jError: it cannot be read.
    """
    (row,) = gateway.run(catalogue()["extract/form"])
    if row["users"] and row["items"]:
        raise ForeignGraphError("the graph has :User and :Item in our form: it needs no mapping")
    if not row["others"]:
        raise ForeignGraphError("the graph is empty: `recsvc ingest` brings data in")
