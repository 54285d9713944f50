"""What a refresh leaves on its machine for the next one to go on from.

    RECSVC_HOME/refreshes/<run>/state.npz

It belongs to the versions of that run. It holds interactions and vectors of users: a deleted
user is removed from it too.
"""

import contextlib
import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float32, Int64
from numpy.typing import NDArray

from loaders.types import Edges, HeteroGraph, IdMap
from loaders.value_file import read_value, write_value
from recsvc.blend.parts import Learned, Validated
from recsvc.blend.reliance import Reliance
from recsvc.evaluation.groups import UserGroup
from recsvc.evaluation.metrics import Estimate
from recsvc.evaluation.splits import id_numbers
from recsvc.evidence import EvidenceKind
from recsvc.refresh.run_journal import (
    STATE_FILE,
    deletions_locked,
    ended_runs,
    forget_unfinished,
    locked_run,
)
from recsvc.signals.metapath import evidence_ids
from recsvc.snapshot.arrays import Snapshot

_STATES_KEPT = 2
"""That of the active version, and that of the one to which can be rolled back."""
_CLASSES = (Learned, Estimate, Validated, UserGroup, Reliance)


_AT_WORK: Final = (
    "a refresh is at work that has read the graph before: its files hold what was deleted until it "
    "ends, and its version will not; where it is killed, a service on this machine or the next "
    "refresh removes them"
)


@dataclass(frozen=True, slots=True, eq=False)
class FineTuningState:
    """What the models learned, and from what.

    Attributes:
        users: ids and rows.
        items: ids and rows.
        categories: ids and rows.
        evidence: what was learned from, [users, items].
        tables: of each model that can be fine-tuned, `FitReport.tables`.
        options: of each model, with what they left open.
        learned: weights and epochs, from the last refresh from scratch.
        digests: of the relationships of each type, see `digests_of`; none once a node was deleted:
            one that comes again has the same, and the stored rows are without it.
        paths: digest of each meta-path's file.
        changed: pairs of user and item that came or went since then, as a share of what there was.
        in_a_row: refreshes since then that only fine-tuned.
    """

    users: IdMap
    items: IdMap
    categories: IdMap
    evidence: sp.csr_matrix
    tables: Mapping[str, tuple[Float32[NDArray[np.float32], "..."], ...]]
    options: Mapping[str, Mapping[str, Any]]
    learned: Learned
    digests: Mapping[str, str]
    paths: Mapping[str, str]
    changed: float
    in_a_row: int

    @property
    def ids(self) -> dict[EvidenceKind, IdMap]:
        """The ids of each kind, in the order in which tables have them."""
        return {"user": self.users, "item": self.items, "category": self.categories}

    def placed_tables(self, name: str, graph: HeteroGraph, evidence: sp.csr_matrix) -> Any:
        """The tables of a model, with a row for each node of the graph as it is now.

        A node that is new has the mean, over those with whom it shares users (an item) or items
        (a user), of their rows, as long as their rows are; NaN where it shares none. Its rows in
        all tables are of the same kind of node, so tables of different meaning are not mixed.
        Rows after those of all nodes, such as those of relations, stay as they are.

        Args:
            name: of the model; there are none of one that cannot be fine-tuned.
            graph: the nodes.
            evidence: of all users now, [users, items].
        """
        links = sp.csr_matrix(
            (np.ones(evidence.nnz, np.float32), evidence.indices, evidence.indptr), evidence.shape
        )
        begin = (0, len(self.users), len(self.users) + len(self.items))
        kinds = (
            (self.users, graph.users, links.T.tocsr()),
            (self.items, graph.items, links),
            (self.categories, graph.categories, None),
        )

        def placed(table: NDArray[np.float32]) -> NDArray[np.float32]:
            parts, end = list[NDArray[np.float32]](), 0
            for start, (old, new, link) in zip(begin, kinds, strict=True):
                if start + len(old) <= len(table):
                    end = start + len(old)
                    parts.append(_placed(table[start:end], old.rows(new), link))
            return np.concatenate([*parts, table[end:]])

        return tuple(
            placed(table) if table.ndim == 2 else table for table in self.tables.get(name, ())
        )

    def known_pairs(
        self, graph: HeteroGraph, evidence: sp.csr_matrix
    ) -> Bool[NDArray[np.bool_], " pairs"]:
        """Whether each stored entry of the evidence was learned from."""
        old = moved(
            self.evidence, graph.users.rows(self.users), graph.items.rows(self.items),
            evidence.shape,
        )  # fmt: skip
        return np.isin(_pair_keys(evidence), _pair_keys(old), assume_unique=True)

    def learned_from(self, graph: HeteroGraph, evidence: sp.csr_matrix) -> bool:
        """Whether it is of this very graph: the same nodes, relationships and weights."""
        then, now = self.evidence, evidence
        return (
            (self.users, self.items, self.categories)
            == (graph.users, graph.items, graph.categories)
            and np.array_equal(then.indptr, now.indptr)
            and np.array_equal(then.indices, now.indices)
            and np.array_equal(then.data, now.data)
            and self.digests == digests_of(graph)
        )

    def knows(self, kind: EvidenceKind, identifier: str) -> bool:
        """Whether it holds something of a node."""
        return identifier in self.ids[kind]

    def still_there(self, graph: HeteroGraph, before: Snapshot) -> "FineTuningState":
        """The same without what another machine deleted, which the state of this one has still.

        A node that was deleted and came again is in the graph, but not in the stored arrays.

        Args:
            graph: as it is now.
            before: the arrays of the same version.
        """
        state, now = self, evidence_ids(graph)
        for kind, then in self.ids.items():
            # No users are stored where no signal starts from them.
            stored = before.ids[kind] or then
            if gone := set(then).difference(set(now[kind]).intersection(stored)):
                state = state.without(kind, gone)
        return state

    def without(self, kind: EvidenceKind, ids: Collection[str]) -> "FineTuningState":
        """The same without some nodes of one kind: no row and no column of theirs is left."""
        maps = self.ids
        rows_left: dict[EvidenceKind, Int64[NDArray[np.int64], " kept"]] = {
            name: np.arange(len(ids_of_kind)) for name, ids_of_kind in maps.items()
        }
        rows = maps[kind].rows(list(ids))
        rows_left[kind] = np.delete(rows_left[kind], rows[rows >= 0])
        left = {
            name: IdMap([maps[name][row] for row in own.tolist()])
            for name, own in rows_left.items()
        }
        start, nodes = 0, list[Int64[NDArray[np.int64], " kept"]]()
        for name, ids_of_kind in maps.items():
            nodes.append(rows_left[name] + start)
            start += len(ids_of_kind)
        every = np.concatenate(nodes)
        tables = {
            model: tuple(
                np.concatenate([table[every[every < len(table)]], table[start:]])
                if table.ndim == 2
                else table
                for table in own
            )
            for model, own in self.tables.items()
        }
        return replace(
            self, users=left["user"], items=left["item"], categories=left["category"],
            evidence=self.evidence[rows_left["user"]][:, rows_left["item"]],
            tables=tables, digests={},
            learned=self._learned_without(ids) if kind == "user" else self.learned,
        )  # fmt: skip

    def _learned_without(self, users: Collection[str]) -> Learned:
        validated = self.learned.validated
        left = ~np.isin(validated.user, id_numbers(users))
        return replace(
            self.learned,
            validated=Validated(validated.user[left], validated.ndcg[left], validated.asked[left]),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """What a refresh goes on from.

    Attributes:
        reason: for that, or for beginning from scratch.
        state: what the active version's refresh left; None from scratch.
        before: the active version's arrays; None from scratch.
        unchanged: whether the graph is as that refresh read it.
    """

    reason: str
    state: FineTuningState | None = None
    before: Snapshot | None = None
    unchanged: bool = False


def moved(
    matrix: sp.csr_matrix,
    rows: Int64[NDArray[np.int64], " rows"],
    columns: Int64[NDArray[np.int64], " columns"],
    shape: tuple[int, int],
) -> sp.csr_matrix:
    """A matrix whose entries are in other rows and columns; those that have none are left out.

    Args:
        matrix: the entries.
        rows: the new row of each row, or -1.
        columns: the new column of each column, or -1.
        shape: of the result.
    """
    cells = matrix.tocoo()
    row, column = rows[cells.row], columns[cells.col]
    stays = (row >= 0) & (column >= 0)
    moved_entries = sp.csr_matrix((cells.data[stays], (row[stays], column[stays])), shape=shape)
    moved_entries.sort_indices()
    return moved_entries


def digests_of(graph: HeteroGraph) -> dict[str, str]:
    """A digest of the relationships of each type: ids at their ends, kinds of events, and weights.

    The same relationships have the same one, whatever other nodes there are.
    """
    numbers = {
        "user": id_numbers(graph.users),
        "item": id_numbers(graph.items),
        "category": id_numbers(graph.categories),
    }

    def digest(edges: Edges, source: str, target: str) -> str:
        return _digest(numbers[source][edges.source], numbers[target][edges.target], edges.weight)

    did = graph.interactions
    kinds = id_numbers(IdMap(did.events))
    return {
        "INTERACTED": _digest(
            numbers["user"][did.user_index],
            numbers["item"][did.item_index],
            kinds[did.event_index],
            did.weight,
        ),
        "FOLLOWS": digest(graph.follows, "user", "user"),
        "PREFERS": digest(graph.prefers, "user", "category"),
        "IN_CATEGORY": digest(graph.in_category, "item", "category"),
        "SUBCATEGORY_OF": digest(graph.subcategory_of, "category", "category"),
        "RELATED_TO": digest(graph.related_to, "item", "item"),
    } | ({"properties": _digest(*read)} if (read := _properties(graph)) else {})


def _properties(graph: HeteroGraph) -> list[NDArray[Any]]:
    return [
        properties[name]
        for properties in (graph.interactions.properties, graph.item_properties)
        for name in sorted(properties)
    ]


def _digest(*columns: NDArray[Any]) -> str:
    digest = hashlib.sha256()
    for column in columns:
        digest.update(column.tobytes())
    return digest.hexdigest()


def keep_state(folder: Path, state: FineTuningState) -> None:
    """Write the state of a run, and remove those of older runs but for the newest.

    Raises:
        OSError: it cannot be written.
    """
    write_value(folder / STATE_FILE, state)
    older = [run for run in ended_runs(folder.parent.parent) if (run / STATE_FILE).exists()]
    for run in older[_STATES_KEPT:]:
        with locked_run(run) as free:
            if free:
                (run / STATE_FILE).unlink(missing_ok=True)


def read_state(home: Path, run: str) -> FineTuningState | None:
    """The state that a run left on this machine; None where there is none, or it is damaged."""
    with contextlib.suppress(OSError, ValueError):
        return read_value(home / "refreshes" / run / STATE_FILE, (FineTuningState, *_CLASSES))
    return None


def forget_digests(home: Path, run: str) -> None:
    """Have no refresh take rows of a version that are made again from another graph.

    Raises:
        OSError: the file cannot be written.
    """
    with deletions_locked(home), locked_run(home / "refreshes" / run, wait=True):
        if (state := read_state(home, run)) is not None:
            write_value(home / "refreshes" / run / STATE_FILE, replace(state, digests={}))


def forget_node(home: Path, kind: EvidenceKind, identifier: str) -> str:
    """Remove a deleted node from what refreshes have left on this machine.

    What an unfinished one has made goes as a whole. One that is at work is left alone: when it has
    ended, and before it writes its state, it asks the graph who is there.

    Returns:
        What people are to know: that one is at work; "" where none is.

    Raises:
        OSError: a file cannot be written.
    """
    at_work = forget_unfinished(home)
    with deletions_locked(home):
        for folder in ended_runs(home):
            with locked_run(folder, wait=True):
                state = read_state(home, folder.name)
                if state is not None and state.knows(kind, identifier):
                    write_value(folder / STATE_FILE, state.without(kind, [identifier]))
    return _AT_WORK if at_work else ""


def _pair_keys(matrix: sp.csr_matrix) -> Int64[NDArray[np.int64], " pairs"]:
    owner = np.repeat(np.arange(matrix.shape[0], dtype=np.int64), np.diff(matrix.indptr))
    return owner * matrix.shape[1] + matrix.indices


def _placed(
    table: NDArray[np.float32],
    rows: Int64[NDArray[np.int64], " nodes"],
    links: sp.csr_matrix | None,
) -> NDArray[np.float32]:
    """Rows of one kind of node where these nodes are now.

    Args:
        table: as they were.
        rows: where each node was, or -1.
        links: whom each node is linked with, [others, nodes].
    """
    placed = np.full((len(rows), table.shape[1]), np.nan, np.float32)
    # A node without relationships was not learned: its row is 0.
    had_row = rows >= 0
    had_row[had_row] = table[rows[had_row]].any(axis=1)
    placed[had_row] = table[rows[had_row]]
    if links is None or had_row.all() or not had_row.any():
        return placed
    new = np.flatnonzero(~had_row)
    around = links @ sp.diags(had_row.astype(np.float32))
    mean = _means(sp.csr_matrix(around), np.nan_to_num(placed))
    near = sp.csr_matrix(links[:, new].T)
    made = _means(near @ sp.diags(np.asarray(mean.any(axis=1), np.float32)), mean)
    length = np.linalg.norm(made, axis=1, keepdims=True)
    usual = np.median(np.linalg.norm(placed[had_row], axis=1))
    placed[new] = np.divide(made * usual, length, out=np.full_like(made, np.nan), where=length > 0)
    return placed


def _means(links: Any, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean of the rows that each one is linked with; 0 where there is none."""
    count = np.asarray(links.sum(axis=1), np.float32)
    total = np.asarray(links @ rows, np.float32)
    return np.divide(total, count, out=np.zeros_like(total), where=count > 0)
