"""What every signal can do."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float32, Float64, Int64
from numpy.typing import NDArray

from loaders.types import IdMap
from recsvc.evidence import EvidenceKind, EvidenceMatrices, EvidenceRows, latest_evidence

_VALUES_AT_ONCE = 8_000_000

_Arrays = Mapping[str, Any]
"""By name: numpy arrays, and `csr_matrix` where the layout has columns."""


class Entries(NamedTuple):
    """Scores in parts: of an item all its values add up.

    Attributes:
        item: rows of items, those of the first piece of evidence first.
        value: e_j · K(j, i).
        lengths: how many of them each piece of evidence has.
    """

    item: Int64[NDArray[np.int64], " entries"]
    value: Float64[NDArray[np.float64], " entries"]
    lengths: Int64[NDArray[np.int64], " evidence"]


class Alone(NamedTuple):
    """What each of some evidence nodes adds by itself with the weight 1, x_j = K(j, ·).

    Attributes:
        terms: x_j of some items.
        towards: <x_j, values> over all items, of some values.
        square: <x_j, x_j> over all items.
    """

    terms: Float64[NDArray[np.float64], "n k"]
    towards: Float64[NDArray[np.float64], " n"]
    square: Float64[NDArray[np.float64], " n"]


class StoredArray(NamedTuple):
    """What an array of a signal holds.

    Attributes:
        row: what one row is, in words.
        rows: what it has a row for.
        columns: what it has a column for, if it is a sparse matrix; None if it is dense.
    """

    row: str
    rows: Literal["evidence", "items"]
    columns: Literal["evidence", "items"] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Inner products of what each piece of evidence adds, x_j = e_j · K(j, ·), over all items.

    Attributes:
        towards: <x_j, Σ_l x_l>.
        square: <x_j, x_j>.
        fall: the most that x_j takes from an item, or more.
        whole: <Σ_j x_j, Σ_l x_l>.
    """

    towards: Float64[NDArray[np.float64], " evidence"]
    square: Float64[NDArray[np.float64], " evidence"]
    fall: Float64[NDArray[np.float64], " evidence"]
    whole: float


class Signal(ABC):
    """A kernel `K(evidence node, item)` over one kind of evidence.

    A subclass scores; the rest follows from its scores, at the price of a pass over all items, or
    from its arrays. A subclass that a version is served from also has a `form`, a `layout`,
    `arrays`, `from_arrays` and `with_fresh_rows`, and stands in `recsvc.signals.STORED`.

    Attributes:
        name: the name it has in answers.
        kind: the kind of evidence it starts from.
        ids: the evidence nodes it knows, and their rows.
        form: the name of its class in stored snapshots.
        layout: what its arrays hold, by their names.
        by_two_steps: whether `with_fresh_rows` takes what is two steps away from a node; if not,
            it takes what the meta-path of the signal's name gives.
        half_life: how many later items halve what an item says in it; None where all evidence
            counts as it is. See `EvidenceRows.latest`.
    """

    __slots__ = ()

    name: str
    kind: EvidenceKind
    ids: IdMap
    form: ClassVar[str]
    layout: ClassVar[Mapping[str, StoredArray]]

    @property
    def by_two_steps(self) -> bool:
        """See the attribute."""
        return False

    half_life: float | None = None

    def weighed(self, evidence: EvidenceRows) -> EvidenceRows:
        """The evidence with the weights e_j that it has in this signal."""
        return evidence if self.half_life is None else evidence.latest(self.half_life)

    def weighed_of(self, given: EvidenceMatrices) -> sp.csr_matrix:
        """`weighed` of many users, [users, evidence nodes]."""
        if self.half_life is None:
            return given[self.kind]
        return latest_evidence(given, self.half_life)

    @property
    def of_people(self) -> bool:
        """Whether all it says of an item comes from what people did with it.

        A model and PageRank do; a meta-path does where it follows interactions, which its name
        tells (`recsvc.signals.metapath.follows_people`).
        """
        return True

    def shared(self, share: Float32[NDArray[np.float32], " items"]) -> "Signal":
        """The same that counts only in part for some items.

        Args:
            share: of each item.

        Raises:
            TypeError: it is of people, and counts the same for all items.
        """
        raise TypeError(f"{type(self).__name__} counts the same for all items")

    def unshared(
        self, raw: Float32[NDArray[np.float32], "... items"]
    ) -> Float32[NDArray[np.float32], "... items"]:
        """Raw scores as n(u) takes them: those of a signal that counts the same for all items."""
        return raw

    @abstractmethod
    def raw_scores(self, evidence: EvidenceRows) -> Float32[NDArray[np.float32], " items"]:
        """Σ_j e_j · K(j, i) for every item i."""

    @abstractmethod
    def terms(
        self, evidence: EvidenceRows, items: Int64[NDArray[np.int64], " k"]
    ) -> Float64[NDArray[np.float64], "evidence k"]:
        """e_j · K(j, i) for each piece of evidence and each of the given items."""

    def sums(
        self, evidence: EvidenceRows, items: Int64[NDArray[np.int64], " k"]
    ) -> Float64[NDArray[np.float64], " k"]:
        """Σ_j e_j · K(j, i) for each of the given items, in float64."""
        return self.terms(evidence, items).sum(axis=0)

    def most_gained(self, evidence: EvidenceRows) -> Float32[NDArray[np.float32], " items"]:
        """What each item gains without some evidence, -Σ_j e_j · K(j, i), or more."""
        return -self.raw_scores(evidence)

    def mean_square(self, evidence: EvidenceRows) -> float:
        """The mean over all items of the raw scores' squares."""
        raw = self.raw_scores(evidence).astype(np.float64)
        return float(np.vecdot(raw, raw)) / max(1, len(raw))

    def largest(self, evidence: EvidenceRows) -> float:
        """What no raw score exceeds in size."""
        return float(np.abs(self.raw_scores(evidence)).max(initial=0.0))

    def profile(self, evidence: EvidenceRows) -> Float64[NDArray[np.float64], " dim"] | None:
        """What the inner products of `item_vectors` with are the raw scores; None without these."""
        return None

    def entries(self, evidence: EvidenceRows) -> Entries | None:
        """The few items that get a score, and by what parts; None where many do."""
        return None

    def reached_sums(
        self, evidence: EvidenceRows
    ) -> tuple[Int64[NDArray[np.int64], " n"], Float64[NDArray[np.float64], " n"]]:
        """The items that get a score, ascending, and Σ_j e_j · K(j, i) of each."""
        raw = self.raw_scores(evidence).astype(np.float64)
        items = np.flatnonzero(raw)
        return items, raw[items]

    @abstractmethod
    def batch_scores(self, evidence: sp.csr_matrix) -> Float32[NDArray[np.float32], "n items"]:
        """`raw_scores` of many users; `evidence` is [n, evidence nodes]."""

    def moments(self, evidence: EvidenceRows) -> Moments:
        """The inner products that scores without one piece of evidence need."""
        own = self._each_alone(evidence)
        whole = own.sum(axis=0)
        fall = -own.min(axis=1, initial=0.0)
        return Moments(own @ whole, np.vecdot(own, own), fall, float(whole @ whole))

    def alone(
        self,
        items: Int64[NDArray[np.int64], " k"],
        values: Float64[NDArray[np.float64], " items"],
    ) -> Callable[[Int64[NDArray[np.int64], " n"], int], Alone]:
        """What tells of evidence nodes what each adds by itself, given their rows.

        It is told, too, to how many of the items, from the first on. It is for many nodes: other
        than `terms` it may round differently for equal vectors.

        Args:
            items: rows of items, each once.
            values: a sum of raw scores.
        """

        def of(nodes: Int64[NDArray[np.int64], " n"], first: int) -> Alone:
            evidence = EvidenceRows(np.arange(len(nodes)), nodes, np.ones(len(nodes)))
            towards = self._each_alone(evidence) @ values
            return Alone(
                self.terms(evidence, items[:first]), towards, self.moments(evidence).square
            )

        return of

    def inner_products(self, evidence: EvidenceRows) -> Float64[NDArray[np.float64], "n n"]:
        """<x_j, x_l> over all items, x_j = e_j · K(j, ·)."""
        own = self._each_alone(evidence)
        return own @ own.T

    def reached(self) -> Bool[NDArray[np.bool_], " items"]:
        """The items that some evidence gives a score."""
        return np.logical_or.reduce([(values != 0.0).any(axis=0) for values in self.all_rows()])

    def all_rows(self) -> Iterator[Float32[NDArray[np.float32], "n items"]]:
        """K(j, ·) of every evidence node, some nodes at a time."""
        nodes = len(self.ids)
        unit = sp.csr_matrix(sp.identity(nodes, np.float32, format="csr"))
        step = max(1, _VALUES_AT_ONCE // max(1, nodes))
        for begin in range(0, max(1, nodes), step):
            yield self.batch_scores(unit[begin : begin + step])

    def kernel_rows(
        self, size: int, told: Callable[[int], None] = lambda _done: None
    ) -> tuple[sp.csr_matrix, float]:
        """The kernel as sparse rows: the `size` largest entries of each, whatever their sign.

        Each evidence node in turn is scored as the only evidence, with the weight 1: that takes
        nodes times items. A subclass that knows which entries can matter looks at those alone.

        Args:
            size: entries kept of each row.
            told: how many rows are done.

        Returns:
            float32 [evidence nodes, items], and the share of all weight that was cut off.
        """
        blocks: list[sp.csr_matrix] = []
        total, weight_left, done = 0.0, 0.0, 0
        for values in self.all_rows():
            total += float(np.abs(values).sum(dtype=np.float64))
            if size < values.shape[1]:
                small = np.argpartition(-np.abs(values), size, axis=1)[:, size:]
                np.put_along_axis(values, small, 0.0, axis=1)
            blocks.append(sp.csr_matrix(values))
            weight_left += float(np.abs(blocks[-1].data).sum(dtype=np.float64))
            done += len(values)
            told(done)
        rows = sp.csr_matrix(sp.vstack(blocks, format="csr", dtype=np.float32))
        return rows, max(0.0, 1.0 - weight_left / total) if total else 0.0

    def arrays(self) -> _Arrays:
        """All that it is made of but `settings`, by the names in `layout`.

        Raises:
            TypeError: it is of a class that cannot be stored.
        """
        raise TypeError(f"{type(self).__name__} cannot be stored: `kernel_rows` makes rows of it")

    def settings(self) -> dict[str, Any]:
        """What it is made of besides arrays, as JSON has it; no key is `name`, `kind` or `form`."""
        return {}

    @classmethod
    def from_arrays(
        cls,
        name: str,
        kind: EvidenceKind,
        ids: IdMap,
        arrays: _Arrays,
        settings: Mapping[str, Any],
    ) -> Self:
        """The signal of these arrays.

        Args:
            name: the name it has in answers.
            kind: the kind of evidence.
            ids: the evidence nodes.
            arrays: see `arrays`.
            settings: `settings` of a signal that was stored; other keys mean nothing.

        Raises:
            TypeError: signals of the class cannot be stored.
        """
        raise TypeError(f"{cls.__name__} cannot be stored: `kernel_rows` makes rows of it")

    def reindexed(
        self,
        ids: IdMap,
        evidence: Int64[NDArray[np.int64], " new_evidence"],
        items: Int64[NDArray[np.int64], " new_items"],
    ) -> Self:
        """The same with other rows and columns.

        Args:
            ids: the evidence nodes of the new rows.
            evidence: the row that each of them has now; -1 for one that says nothing.
            items: the column that each item has now; -1 for one that nothing is said about.

        Raises:
            TypeError: it is of a class that cannot be stored.
        """
        of = {"evidence": evidence, "items": items}
        arrays = {
            name: _taken(array, of[held.rows], None if held.columns is None else of[held.columns])
            for name, array in self.arrays().items()
            for held in (self.layout[name],)
        }
        return self.from_arrays(self.name, self.kind, ids, arrays, self.settings())

    def not_finite(self) -> list[str]:
        """What rows hold NaN or an infinity, in words.

        Raises:
            TypeError: it is of a class that cannot be stored.
        """
        return [
            self.layout[name].row
            for name, array in self.arrays().items()
            if not np.isfinite(array.data if self.layout[name].columns else array).all()
        ]

    def with_fresh_rows(
        self,
        ids: IdMap,
        stored: Int64[NDArray[np.int64], " evidence"],
        fresh: sp.csr_matrix,
        people: Int64[NDArray[np.int64], " items"],
    ) -> "Signal":
        """The same for the evidence of one answer alone, some of it as it is now.

        Args:
            ids: the evidence.
            stored: the row that each node has; -1 for one that has changed.
            fresh: how strongly each changed node leads to each item now, [changed, items]: over a
                meta-path or over two steps, see `by_two_steps`. In the order of `ids`.
            people: how many users had each item at the refresh.

        Raises:
            TypeError: it is of a class that takes no fresh rows.
        """
        raise TypeError(f"{type(self).__name__} takes no fresh rows")

    @property
    def item_vectors(self) -> Float32[NDArray[np.float32], "items dim"] | None:
        """Vectors whose cosines say how alike items are; None where it has none."""
        return None

    def new_item_vectors(
        self, shares: sp.csr_matrix, people: Int64[NDArray[np.int64], " items"]
    ) -> Float32[NDArray[np.float32], "n dim"]:
        """Vectors, beside `item_vectors`, of items that were not there at the refresh.

        Args:
            shares: how likely a walk of two steps from each is at each known item, [n, items].
            people: how many users had each known item at the refresh.

        Returns:
            The vectors; 0 where no known item counts.

        Raises:
            TypeError: it has no vectors.
        """
        raise TypeError(f"{type(self).__name__} has no vectors of items")

    def collapsed(self, known: Bool[NDArray[np.bool_], " items"]) -> list[str]:
        """What of it says the same of all known items, in words.

        Args:
            known: the items that somebody did something with.
        """
        return []

    def _each_alone(self, evidence: EvidenceRows) -> Float64[NDArray[np.float64], "evidence items"]:
        """e_j · K(j, ·) of each piece of evidence."""
        count = len(evidence)
        own = sp.csr_matrix(
            (evidence.weight.astype(np.float32), evidence.row, np.arange(count + 1)),
            shape=(count, len(self.ids)),
        )
        return self.batch_scores(own).astype(np.float64)


def fresh_order(
    stored: Int64[NDArray[np.int64], " evidence"],
) -> Int64[NDArray[np.int64], " evidence"]:
    """What brings stored rows with fresh ones after them into the order of the evidence.

    Args:
        stored: the row of each node; -1 for one that has a fresh one.
    """
    return np.argsort(np.argsort(stored < 0, kind="stable"))


def _taken(
    array: Any,
    rows: Int64[NDArray[np.int64], " rows"],
    columns: Int64[NDArray[np.int64], " columns"] | None,
) -> Any:
    """Some rows of an array, and columns of a sparse one; zeros for -1."""
    if columns is None:
        taken = np.zeros((len(rows), *array.shape[1:]), array.dtype)
        taken[rows >= 0] = array[rows[rows >= 0]]
        return taken
    # One empty row and column more: -1 means the last of each.
    wider = sp.csr_matrix(
        (array.data, array.indices, np.append(array.indptr, array.indptr[-1])),
        shape=(array.shape[0] + 1, array.shape[1] + 1),
    )
    taken = sp.csr_matrix(wider[rows][:, columns])
    taken.sort_indices()
    return taken
