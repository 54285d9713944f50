"""Graph filters as a kernel: a polynomial of a sparse item-item operator, and a low-rank part."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float32, Float64, Int64
from numpy.typing import NDArray

from loaders.types import IdMap
from recsvc.evidence import EvidenceKind, EvidenceRows
from recsvc.signals._two_step_rows import two_step_rows
from recsvc.signals.base import Signal
from recsvc.signals.rows import truncate_rows

_MOST_ITEMS = 1000
"""Items of one user that lead on to others in rows, those of the largest entries."""

_COLUMNS_AT_ONCE = 24  # that many right-hand sides of 40,000 items stay in a cache


@dataclass(frozen=True, slots=True, eq=False)
class FilterKernel:
    """K = diag(before) · p(A) · diag(after) + source · targetᵀ.

    A = F_n … F_1 is symmetric with eigenvalues in [0, 1], or near it, and is never multiplied out;
    p is a Chebyshev series on [0, 1]: p(A) = Σ_k c_k T_k(2A − I).

    Attributes:
        factors: F_1 … F_n, where F_1 = F_nᵀ, float32; the first and the last have one column
            and one row per item.
        coefficients: c, two or more.
        before: how much each item counts as evidence.
        after: how much each item counts as a candidate.
        source: low-rank part; its width may be 0.
        target: low-rank part.
    """

    factors: tuple[sp.csr_matrix, ...]
    coefficients: Float64[NDArray[np.float64], " terms"]
    before: Float32[NDArray[np.float32], " items"]
    after: Float32[NDArray[np.float32], " items"]
    source: Float32[NDArray[np.float32], "items rank"]
    target: Float32[NDArray[np.float32], "items rank"]

    def scores(self, evidence: sp.csr_matrix) -> Float32[NDArray[np.float32], "n items"]:
        """Evidence [n, items] times K, some users at once and in as many threads as processors."""
        parts = -(-evidence.shape[0] // _COLUMNS_AT_ONCE)
        threads = os.cpu_count() or 1
        parts = max(1, min(evidence.shape[0], max(parts, threads)))
        bounds = np.linspace(0, evidence.shape[0], parts + 1).astype(np.int64).tolist()
        out = np.empty(evidence.shape, np.float32)

        def fill(begin: int, end: int) -> None:
            own = evidence[begin:end]
            filtered = self._filtered(sp.csr_matrix(own.multiply(self.before), dtype=np.float32))
            np.multiply(filtered.T, self.after, out=out[begin:end])
            if self.source.shape[1]:
                out[begin:end] += np.asarray(own @ self.source, np.float32) @ self.target.T

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(fill, bounds[:-1], bounds[1:]))
        return out

    def entries(
        self, rows: Int64[NDArray[np.int64], " n"], items: Int64[NDArray[np.int64], " k"]
    ) -> Float64[NDArray[np.float64], "n k"]:
        """K(j, i) for some j and some i: the operator applied to k unit vectors."""
        count = len(items)
        units = sp.csr_matrix(
            (self.after[items].astype(np.float64), items, np.arange(count + 1)),
            shape=(count, len(self.after)),
        )
        low_rank = self.source[rows].astype(np.float64) @ self.target[items].astype(np.float64).T
        return self.before[rows, None] * self._filtered(units)[rows] + low_rank

    @property
    def is_linear(self) -> bool:
        """Whether p(x) = s x: all but the low-rank part is two steps, there and back."""
        return len(self.factors) == 2 and self.coefficients.tolist() == [self.slope / 2.0] * 2

    @property
    def slope(self) -> float:
        """S of a p(x) = s x."""
        return 2.0 * float(self.coefficients[0])

    def _filtered(self, rows: sp.csr_matrix) -> NDArray[np.floating]:
        """(rows · p(A))ᵀ by Clenshaw's recurrence (1955), [items, n].

        The last coefficient meets the rows as they are, sparse, which saves one product of n.
        """
        *rest, last = self.coefficients.tolist()
        own = sp.csr_matrix(rows.T)
        newer = (last * own).toarray()
        older = np.zeros_like(newer)
        stepped = self._first_step(rows)
        stepped *= last
        for coefficient in rest[:0:-1]:
            older += 2.0 * newer
            stepped *= 4.0
            stepped -= older
            _add(stepped, own, coefficient)
            older, newer = newer, stepped
            stepped = self._step(newer)
        stepped *= 2.0
        stepped -= newer
        stepped -= older
        _add(stepped, own, rest[0])
        return stepped

    def _first_step(self, rows: sp.csr_matrix) -> NDArray[np.floating]:
        """(rows · A)ᵀ, the first product sparse."""
        product = (rows @ self.factors[-1]).T.toarray(order="C")
        for factor in self.factors[1:]:
            product = factor @ product
        return product

    def _step(self, columns: NDArray[np.floating]) -> NDArray[np.floating]:
        for factor in self.factors:
            columns = factor @ columns
        return columns


def _add(dense: NDArray[np.floating], sparse: sp.csr_matrix, factor: float) -> None:
    """Add factor · sparse to a dense array, in place."""
    row = np.repeat(np.arange(sparse.shape[0]), np.diff(sparse.indptr))
    dense[row, sparse.indices] += factor * sparse.data


@dataclass(frozen=True, slots=True, eq=False)
class OperatorSignal(Signal):
    """A graph filter over the items a user did something with.

    Attributes:
        name: the model's name.
        ids: items, in the order of the kernel's rows.
        kernel: K(j, i).
        kind: the kind of evidence: items.
    """

    name: str
    ids: IdMap
    kernel: FilterKernel
    kind: EvidenceKind = "item"

    def raw_scores(self, evidence: EvidenceRows) -> Float32[NDArray[np.float32], " items"]:
        """See `Signal.raw_scores`."""
        own = sp.csr_matrix(
            (evidence.weight.astype(np.float32), evidence.row, np.array([0, len(evidence)])),
            shape=(1, len(self.ids)),
        )
        return self.kernel.scores(own)[0]

    def terms(
        self, evidence: EvidenceRows, items: Int64[NDArray[np.int64], " k"]
    ) -> Float64[NDArray[np.float64], "evidence k"]:
        """See `Signal.terms`."""
        return evidence.weight[:, None] * self.kernel.entries(evidence.row, items)

    def batch_scores(self, evidence: sp.csr_matrix) -> Float32[NDArray[np.float32], "n items"]:
        """See `Signal.batch_scores`."""
        return self.kernel.scores(evidence)

    def kernel_rows(
        self, size: int, told: Callable[[int], None] = lambda _done: None
    ) -> tuple[sp.csr_matrix, float]:
        """See `Signal.kernel_rows`. Of a linear kernel, over the items that share a user.

        These are counted in Σ_u n_u · min(n_u, 1000) steps, linear in what users did. Of what the
        low-rank part says of all other items nothing is kept.
        """
        kernel = self.kernel
        if not kernel.is_linear:
            return Signal.kernel_rows(self, size, told)
        forth, back = kernel.factors
        most = truncate_rows(forth, _MOST_ITEMS)[0]
        return two_step_rows(
            sp.csr_matrix(sp.diags(np.float32(kernel.slope) * kernel.before) @ back),
            sp.csr_matrix(most @ sp.diags(kernel.after)),
            kernel.source, kernel.target, min(size, len(self.ids)), told,
        )  # fmt: skip
