"""Parameters of the queries under `cypher/explain/`, and queries as text for people to paste."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from loaders.catalogue import CODE_PARAMETER, Query, catalogue
from loaders.gateway import checked, taken
from loaders.mapped import MappedGraph

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def path_parameters(
    pairs: Sequence[tuple[str, str]], user_id: str | None, kinds: Sequence[str], *, limit: int
) -> dict[str, Any]:
    """The parameters that a query under `cypher/explain/` may take."""
    return {
        "pairs": [{"evidence_id": evidence, "item_id": item} for evidence, item in pairs],
        "user_id": user_id,
        "kinds": list(kinds),
        "limit": limit,
    }


def pasteable(
    metapath: str, parameters: Mapping[str, Any], graph: MappedGraph | None = None
) -> str:
    """The text of an explain query with its parameters written out, for Neo4j Browser.

    Args:
        metapath: whose paths it draws.
        parameters: those that it may take.
        graph: how the graph maps to ours, where it is the graph of somebody else.
    """
    query = catalogue()[f"explain/{metapath}"]
    if graph is not None:
        query = replace(query, text=graph.statement(query))
    return written_out(query, taken(query, parameters))


def written_out(query: Query, parameters: Mapping[str, Any]) -> str:
    """The text of a query with its parameters written out.

    It is shown, never run by us: what we run takes its values as parameters.
    """
    values = checked(query, parameters)
    return CODE_PARAMETER.sub(
        lambda found: _literal(values[found["name"]]) if found["name"] else found[0], query.text
    )


def _literal(value: Any) -> str:
    if isinstance(value, Mapping):
        entries = cast(Mapping[str, Any], value).items()
        return "{" + ", ".join(f"{_key(name)}: {_literal(entry)}" for name, entry in entries) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_literal, cast("list[Any]", value))) + "]"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace("'", "\\'")
        return "'" + _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", escaped) + "'"
    return "null" if value is None else str(value)


def _key(name: str) -> str:
    return name if name.isidentifier() else "`" + name.replace("`", "``") + "`"
