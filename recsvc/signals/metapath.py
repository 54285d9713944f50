"""Meta-path rows: what the files under `cypher/metapaths/` return, kept as sparse arrays.

What a file declares is computed on the arrays of the graph. A file that declares nothing is run
by something that is given, which has the graph in a database.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Protocol

import numpy as np
import scipy.sparse as sp
from jaxtyping import Int64
from numpy.typing import NDArray

from loaders.catalogue import Query, catalogue
from loaders.errors import CatalogueError, Fault
from loaders.types import HeteroGraph, IdMap
from recsvc.evidence import EvidenceKind, EvidenceMatrices
from recsvc.signals.walk import walk_rows

_KIND_BY_PREFIX: Mapping[str, EvidenceKind] = {
    "item_": "item",
    "followed_user_": "user",
    "category_": "category",
}
_START = {"item": "Item", "user": "User", "category": "Category"}
_ROW = {"evidence_id": "str", "item_id": "str", "strength": "float"}
_DRAWN = _ROW | {"start": "path", "path": "path"}

Progress = Callable[[str, int, int], None]
"""Told (what, done, total)."""


class PathQueries(Protocol):
    """Runs the meta-paths that declare no walk."""

    def rows(
        self, name: str, graph: HeteroGraph, kinds: Sequence[str], size: int, progress: Progress
    ) -> sp.csr_matrix:
        """The rows over all evidence nodes, float32 [evidence nodes, items]: see `all_rows`."""
        ...

    def held_out_scores(
        self,
        name: str,
        graph: HeteroGraph,
        held_out: sp.csr_matrix,
        given: sp.csr_matrix,
        user_index: Int64[NDArray[np.int64], " n"],
        *,
        kinds: Sequence[str],
        size: int,
        progress: Progress,
    ) -> sp.csr_matrix:
        """Raw scores, float32 [n, items], by rows that do not know what is held out from a user.

        Args:
            name: of the meta-path.
            graph: nodes and relationships, without what is held out.
            held_out: what is held out, [users, items].
            given: evidence of the path's kind that is left to these users, [n, evidence nodes].
            user_index: validation users.
            kinds: of events, those that speak for an item.
            size: entries kept per row.
            progress: told what is done.
        """
        ...


def metapath_kinds() -> dict[str, EvidenceKind]:
    """Every meta-path and the kind of evidence it starts from, which its name begins with.

    Raises:
        CatalogueError: the header of a file is not that of a meta-path, see `header_faults`.
    """
    faults: list[Fault] = []
    drawn = {query.name.removeprefix("explain/"): query for query in catalogue().folder("explain")}
    for query in catalogue().folder("metapaths"):
        faults += header_faults(query, drawn.get(_name(query)))
    if faults:
        raise CatalogueError(faults)
    names = map(_name, catalogue().folder("metapaths"))
    return {name: metapath_kind(name) for name in names}


def header_faults(query: Query, drawn: Query | None) -> list[Fault]:
    """What is wrong with the header of a meta-path, beyond the grammar.

    Args:
        query: the meta-path.
        drawn: what draws its paths, if there is such a file.
    """
    faults = _column_faults(query, _ROW, {"evidence_ids"}, {"kinds"})
    kind = _kind_of(_name(query))
    if kind is None:
        faults.append(query.fault(_no_kind(_name(query))))
    elif query.walk is not None and query.walk.start != _START[kind]:
        said = f"the walk starts at ({query.walk.start}): by the file's name expected "
        faults.append(query.fault(f"{said}({_START[kind]})", "walk"))
    takes = "kinds" in query.params
    # What is computed on arrays, run by Neo4j and drawn has to count the same interactions.
    if query.walk is not None and "INTERACTED" in query.walk.types and not takes:
        said = (
            "a walk follows interactions of $kinds alone: declare `kinds: list[str]`, and filter "
            "INTERACTED by it in the text"
        )
        faults.append(query.fault(said, "walk"))
    if drawn is not None:
        faults += _column_faults(drawn, _DRAWN, {"pairs"}, {"user_id", "kinds", "limit"})
        if ("kinds" in drawn.params) != takes:
            said = (
                f"only one of this file and {drawn.file} takes $kinds, so paths would not add up "
                "to the strength: have both take it, or none"
            )
            faults.append(query.fault(said, "params"))
    return faults


def _column_faults(
    query: Query, columns: Mapping[str, str], needed: set[str], allowed: set[str]
) -> list[Fault]:
    """What is wrong with mode, parameters and columns."""
    faults: list[Fault] = []
    if query.mode != "read":
        faults.append(query.fault(f"mode is {query.mode!r}, expected read", "mode"))
    params = set(query.params)
    if needed - params or params - needed - allowed:
        said = f"takes the parameters {sorted(params)}: expected {', '.join(sorted(needed))}"
        faults.append(query.fault(f"{said} and of {', '.join(sorted(allowed))} any", "params"))
    if dict(query.returns) != columns:
        expected, declared = (
            ", ".join(f"{name}: {kind}" for name, kind in names.items())
            for names in (columns, query.returns)
        )
        said = f"declares the columns `{declared}`: expected `{expected}`"
        faults.append(query.fault(said, "returns"))
    return faults


def _name(query: Query) -> str:
    return query.name.removeprefix("metapaths/")


def usable_metapaths(queries: PathQueries | None) -> dict[str, EvidenceKind]:
    """The meta-paths that can be computed: all of them, or those that declare a walk.

    Args:
        queries: runs those that declare none; without it they are left out.
    """
    left_out = () if queries is not None else undeclared_metapaths()
    return {name: kind for name, kind in metapath_kinds().items() if name not in left_out}


def undeclared_metapaths() -> list[str]:
    """The meta-paths that declare no walk, so that only a database can compute them."""
    return [_name(query) for query in catalogue().folder("metapaths") if query.walk is None]


def run_without_held_out() -> list[str]:
    """The meta-paths that a database validates, with held-out interactions deleted for a moment."""
    return [_name(query) for query in catalogue().folder("metapaths")
            if _reads_what_is_held_out(_name(query))]  # fmt: skip


def of_all_kinds() -> list[str]:
    """The meta-paths that follow interactions of every kind, returns too."""
    return [
        _name(query)
        for query in catalogue().folder("metapaths")
        if "INTERACTED" in query.text and "kinds" not in query.params
    ]


def metapath_reads(name: str) -> frozenset[str] | None:
    """Types of relationships that all rows depend on, besides ids; None where it is not said."""
    query = catalogue()[f"metapaths/{name}"]
    return query.walk.types if query.reads is None and query.walk is not None else query.reads


def follows_people(name: str) -> bool:
    """Whether all that a meta-path says of an item comes from what people did with it."""
    reads = metapath_reads(name)
    return reads is None or "INTERACTED" in reads


def metapath_digests() -> dict[str, str]:
    """A digest of the text of every meta-path."""
    return {
        query.name: hashlib.sha256(query.text.encode()).hexdigest()
        for query in catalogue().folder("metapaths")
    }


def metapath_kind(name: str) -> EvidenceKind:
    """The kind of evidence that a meta-path starts from, which its name begins with.

    Raises:
        CatalogueError: it begins with none.
    """
    kind = _kind_of(name)
    if kind is None:
        raise CatalogueError(f"cypher/metapaths/{name}.cypher: {_no_kind(name)}")
    return kind


def _kind_of(name: str) -> EvidenceKind | None:
    return next((kind for start, kind in _KIND_BY_PREFIX.items() if name.startswith(start)), None)


def _no_kind(name: str) -> str:
    return (
        "a meta-path's name begins with the evidence that it starts from: expected one of "
        f"{', '.join(_KIND_BY_PREFIX)} at the beginning of {name!r}"
    )


def all_rows(
    queries: PathQueries | None,
    name: str,
    graph: HeteroGraph,
    kinds: Sequence[str],
    size: int,
    progress: Progress,
    *,
    starts: Int64[NDArray[np.int64], " starts"] | None = None,
) -> sp.csr_matrix:
    """The rows of one meta-path over all evidence nodes, the `size` largest entries of each.

    Args:
        queries: runs a file that declares no walk.
        name: of the meta-path.
        graph: nodes and relationships.
        kinds: of events, those that speak for an item.
        size: entries kept per row.
        progress: told what is done.
        starts: the evidence nodes whose rows are wanted, ascending; of a declared walk, those of
            the others are empty.

    Returns:
        float32 [evidence nodes, items].
    """
    walk = catalogue()[f"metapaths/{name}"].walk
    if walk is None:
        assert queries is not None, name
        return queries.rows(name, graph, kinds, size, progress)
    rows = walk_rows(walk, graph, kinds, size, partial(progress, name), starts=starts)
    if starts is None:
        return rows
    lengths = np.zeros(len(evidence_ids(graph)[metapath_kind(name)]) + 1, np.int64)
    lengths[starts + 1] = np.diff(rows.indptr)
    shape = (len(lengths) - 1, len(graph.items))
    return sp.csr_matrix((rows.data, rows.indices, np.cumsum(lengths)), shape=shape)


def evidence_ids(graph: HeteroGraph) -> dict[EvidenceKind, IdMap]:
    """The nodes that can be evidence, by kind."""
    return {"item": graph.items, "user": graph.users, "category": graph.categories}


def held_out_rows(
    queries: PathQueries | None,
    graph: HeteroGraph,
    evidence: EvidenceMatrices,
    *,
    kinds: Sequence[str],
    size: int,
    progress: Progress,
) -> dict[str, sp.csr_matrix]:
    """The rows of validation users' evidence that know nothing of what is held out.

    A declared walk is computed on the graph without all that is held out. A file whose header says
    that it reads no interactions is run as it is.

    Args:
        queries: runs the files that declare no walk; without it they are left out.
        graph: nodes and relationships, without what is held out.
        evidence: evidence left to these users, by kind, [n, evidence nodes].
        kinds: of events, those that speak for an item.
        size: entries kept per row.
        progress: told what is done.

    Returns:
        By meta-path, float32 [evidence nodes, items]; see `held_out_scores` for the others.
    """
    starts = {kind: np.unique(own.indices).astype(np.int64) for kind, own in evidence.items()}
    return {
        name: all_rows(queries, name, graph, kinds, size, progress, starts=starts[kind])
        for name, kind in usable_metapaths(queries).items()
        if not _reads_what_is_held_out(name)
    }


def _reads_what_is_held_out(name: str) -> bool:
    """Whether rows can be had only from a database, and depend on interactions there."""
    query = catalogue()[f"metapaths/{name}"]
    return query.walk is None and (query.reads is None or "INTERACTED" in query.reads)


def held_out_scores(
    queries: PathQueries | None,
    graph: HeteroGraph,
    held_out: sp.csr_matrix,
    evidence: EvidenceMatrices,
    user_index: Int64[NDArray[np.int64], " n"],
    *,
    kinds: Sequence[str],
    size: int,
    progress: Progress,
) -> dict[str, sp.csr_matrix]:
    """Raw scores of validation users by the meta-paths that `held_out_rows` leaves out.

    Such a file is run for one user after the other, without that user's held-out interactions.

    Args:
        queries: runs the files that declare no walk; without it they are left out.
        graph: nodes and relationships, without what is held out.
        held_out: what is held out, [users, items].
        evidence: evidence left to these users, by kind, [n, evidence nodes].
        user_index: validation users.
        kinds: of events, those that speak for an item.
        size: entries kept per row.
        progress: told what is done.

    Returns:
        By meta-path, float32 [n, items], in the order of `user_index`.
    """
    scores: dict[str, sp.csr_matrix] = {}
    for name, kind in usable_metapaths(queries).items():
        if _reads_what_is_held_out(name):
            assert queries is not None, name
            scores[name] = queries.held_out_scores(
                name, graph, held_out, evidence[kind], user_index, kinds=kinds, size=size,
                progress=progress,
            )  # fmt: skip
    return scores
