"""A kernel stored as sparse rows: PageRank and meta-paths."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float32, Float64, Int64
from numpy.typing import NDArray

from loaders.types import IdMap
from recsvc.evidence import EvidenceKind, EvidenceRows
from recsvc.signals.base import Alone, Entries, Moments, Signal, StoredArray, fresh_order

_Sums = Float64[NDArray[np.float64], " items"]

ROWS = ""
"""The name of the only array: it is stored under that of the signal."""
_FEW_ROWS = 150
"""Up to here scipy's checks of a matrix take longer than adding up its rows one by one."""


@dataclass(frozen=True, slots=True, eq=False)
class RowSignal(Signal):
    """One sparse row of item scores per evidence node.

    Attributes:
        name: the name it has in answers.
        kind: the kind of evidence.
        ids: the evidence nodes; one row each.
        rows: K(j, i), float32 [evidence nodes, items].
        damping: of PageRank, the chance of going on; None for every other kernel.
        half_life: see `Signal`.
    """

    name: str
    kind: EvidenceKind
    ids: IdMap
    rows: sp.csr_matrix
    damping: float | None = None
    half_life: float | None = None

    form: ClassVar[str] = "rows"
    layout: ClassVar[Mapping[str, StoredArray]] = {ROWS: StoredArray("row", "evidence", "items")}

    def raw_scores(self, evidence: EvidenceRows) -> Float32[NDArray[np.float32], " items"]:
        """See `Signal.raw_scores`."""
        return self._all_sums(evidence).astype(np.float32)

    def sums(
        self, evidence: EvidenceRows, items: Int64[NDArray[np.int64], " k"]
    ) -> Float64[NDArray[np.float64], " k"]:
        """See `Signal.sums`."""
        return self._all_sums(evidence)[items]

    def reached_sums(
        self, evidence: EvidenceRows
    ) -> tuple[Int64[NDArray[np.int64], " n"], Float64[NDArray[np.float64], " n"]]:
        """See `Signal.reached_sums`."""
        sums = self._all_sums(evidence)
        items = np.flatnonzero(sums)
        return items, sums[items]

    def _all_sums(self, evidence: EvidenceRows) -> _Sums:
        """Σ_j e_j · K(j, i) for every item i, kept as long as the evidence is.

        In float64: of likes and dislikes that cancel, float32 would leave something.
        """
        key = (self, "sums")
        if key not in evidence.made:
            evidence.made[key] = self._added_up(evidence)
        return evidence.made[key]

    def _added_up(self, evidence: EvidenceRows) -> _Sums:
        if (entries := self.entries(evidence)) is not None:
            item, value, _ = entries
            return np.bincount(item, value, minlength=self.rows.shape[1]).astype(
                np.float64, copy=False
            )
        return np.asarray(self.rows[evidence.row].T @ evidence.weight, np.float64)

    def terms(
        self, evidence: EvidenceRows, items: Int64[NDArray[np.int64], " k"]
    ) -> Float64[NDArray[np.float64], "evidence k"]:
        """See `Signal.terms`."""
        terms = np.zeros((len(evidence), len(items)))
        if not len(evidence):
            return terms
        item, value, lengths = self._all_entries(evidence)
        column_of = np.full(self.rows.shape[1], -1, np.int32)
        column_of[items] = np.arange(len(items))
        column = column_of[item]
        wanted = np.flatnonzero(column >= 0)
        number = np.searchsorted(np.cumsum(lengths), wanted, side="right")
        terms[number, column[wanted]] = value[wanted]
        return terms

    def mean_square(self, evidence: EvidenceRows) -> float:
        """See `Signal.mean_square`."""
        sums = self._all_sums(evidence)
        if (entries := self.entries(evidence)) is not None:
            # Σ_i s_i² = Σ_i s_i · Σ_j x_ji, which asks for no more than the entries.
            total = float(entries.value @ sums[entries.item])
        else:
            total = float(np.vecdot(sums, sums))
        return max(0.0, total) / max(1, len(sums))

    def entries(self, evidence: EvidenceRows) -> Entries | None:
        """See `Signal.entries`."""
        return self._all_entries(evidence) if 0 < len(evidence) <= _FEW_ROWS else None

    def _all_entries(self, evidence: EvidenceRows) -> Entries:
        """The entries of the evidence's rows, kept as long as the evidence is."""
        if self not in evidence.made:
            evidence.made[self] = self._gathered(evidence)
        return evidence.made[self]

    def _gathered(self, evidence: EvidenceRows) -> Entries:
        begin, end = self.rows.indptr[evidence.row], self.rows.indptr[evidence.row + 1]
        spans = list(zip(begin.tolist(), end.tolist(), strict=True))
        indices, data = self.rows.indices, self.rows.data
        item = np.concatenate([indices[first:last] for first, last in spans], dtype=np.int64)
        value = np.concatenate([data[first:last] for first, last in spans], dtype=np.float64)
        lengths = (end - begin).astype(np.int64)
        value *= np.repeat(evidence.weight, lengths)
        return Entries(item, value, lengths)

    def batch_scores(self, evidence: sp.csr_matrix) -> Float32[NDArray[np.float32], "n items"]:
        """See `Signal.batch_scores`."""
        return (evidence @ self.rows).toarray().astype(np.float32)

    def moments(self, evidence: EvidenceRows) -> Moments:
        """See `Signal.moments`."""
        item, value, lengths = self._all_entries(evidence)
        owner = np.repeat(np.arange(len(evidence)), lengths)
        whole = self._all_sums(evidence)
        towards, square = (
            np.bincount(owner, value * other, minlength=len(evidence)).astype(np.float64)
            for other in (whole[item], value)
        )
        fall = np.zeros(len(evidence))
        negative = value < 0.0
        if negative.any():
            np.maximum.at(fall, owner[negative], -value[negative])
        return Moments(towards, square, fall, float(whole @ whole))

    def alone(
        self,
        items: Int64[NDArray[np.int64], " k"],
        values: Float64[NDArray[np.float64], " items"],
    ) -> Callable[[Int64[NDArray[np.int64], " n"], int], Alone]:
        """See `Signal.alone`."""

        def of(nodes: Int64[NDArray[np.int64], " n"], first: int) -> Alone:
            own = self.rows[nodes]
            terms = own[:, items[:first]].toarray().astype(np.float64)
            data, shape = own.data.astype(np.float64), own.shape
            rows = sp.csr_matrix((data, own.indices, own.indptr), shape)
            squares = sp.csr_matrix((data**2, own.indices, own.indptr), shape)
            square = np.asarray(squares @ np.ones(shape[1]))
            return Alone(terms, np.asarray(rows @ values), square)

        return of

    def inner_products(self, evidence: EvidenceRows) -> Float64[NDArray[np.float64], "n n"]:
        """See `Signal.inner_products`."""
        item, value, lengths = self._all_entries(evidence)
        ends = np.concatenate([[0], np.cumsum(lengths)])
        own = sp.csr_matrix((value, item, ends), shape=(len(evidence), self.rows.shape[1]))
        return (own @ own.T).toarray()

    def reached(self) -> Bool[NDArray[np.bool_], " items"]:
        """See `Signal.reached`."""
        reached = np.zeros(self.rows.shape[1], bool)
        reached[self.rows.indices[self.rows.data != 0.0]] = True
        return reached

    def kernel_rows(
        self, size: int, told: Callable[[int], None] = lambda _done: None
    ) -> tuple[sp.csr_matrix, float]:
        """See `Signal.kernel_rows`."""
        rows = truncate_rows(self.rows, size)
        told(len(self.ids))
        return rows

    def arrays(self) -> Mapping[str, Any]:
        """See `Signal.arrays`."""
        return {ROWS: self.rows}

    def settings(self) -> dict[str, Any]:
        """See `Signal.settings`."""
        own = {} if self.half_life is None else {"half_life": self.half_life}
        return {"damping": self.damping} | own

    @classmethod
    def from_arrays(
        cls,
        name: str,
        kind: EvidenceKind,
        ids: IdMap,
        arrays: Mapping[str, Any],
        settings: Mapping[str, Any],
    ) -> Self:
        """See `Signal.from_arrays`."""
        numbers = settings.get("damping"), settings.get("half_life")
        return cls(name, kind, ids, arrays[ROWS], *numbers)

    @property
    def by_two_steps(self) -> bool:
        """Whether it is PageRank; the others are meta-paths."""
        return self.damping is not None

    def with_fresh_rows(
        self,
        ids: IdMap,
        stored: Int64[NDArray[np.int64], " evidence"],
        fresh: sp.csr_matrix,
        people: Int64[NDArray[np.int64], " items"],
    ) -> "RowSignal":
        """See `Signal.with_fresh_rows`.

        PageRank of new items is made from the rows of the items that are two steps away. A vector
        is (1 - d) of its own restart and d of the mean of its neighbours' vectors (Jeh & Widom
        2003, theorem 2). Two times that is d² of the mean of those after two steps. What leads
        over followed users is left out.
        """
        if (d := self.damping) is not None:
            fresh = d**2 * (fresh @ self.rows + (1.0 - d) * fresh)
        rows_left = self.rows[stored[stored >= 0]]
        both = sp.csr_matrix(sp.vstack([rows_left, fresh], format="csr", dtype=np.float32))
        return replace(self, ids=ids, rows=both[fresh_order(stored)])


def truncate_rows(rows: sp.csr_matrix, size: int) -> tuple[sp.csr_matrix, float]:
    """Keep the `size` largest entries of each row, whatever their sign (ties: smaller column).

    Returns:
        The truncated matrix, and the share of all weight that was cut off.
    """
    rows = rows.tocsr()
    rows.sort_indices()
    lengths = np.diff(rows.indptr)
    large = np.abs(rows.data)
    total = float(large.sum())
    able = np.ones(rows.nnz, bool)
    # Sorting what cannot be kept would take longer than all else.
    for row in np.flatnonzero(lengths > size).tolist():
        own = slice(rows.indptr[row], rows.indptr[row + 1])
        able[own] = large[own] >= np.partition(large[own], -size)[-size]
    place = np.flatnonzero(able)
    owner = np.repeat(np.arange(rows.shape[0]), lengths)[place]
    order = np.lexsort((rows.indices[place], -large[place], owner))
    left = np.bincount(owner, minlength=rows.shape[0])
    rank = np.arange(len(order)) - np.repeat(np.cumsum(left) - left, left)
    largest = np.sort(place[order[rank < size]])
    indptr = np.concatenate([[0], np.cumsum(np.minimum(lengths, size))])
    result = sp.csr_matrix(
        (rows.data[largest].astype(np.float32), rows.indices[largest], indptr), shape=rows.shape
    )
    return result, 1.0 - float(np.abs(result.data).sum()) / total if total else 0.0
