"""Sparse matrices out of pickles, without running anything that a pickle may ask for."""

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from loaders.errors import TableError

# numpy names it in a private module; every array's own pickle refers to it.
_reconstruct: Any = np.zeros(0).__reduce__()[0]
_REFUSED = (
    pickle.UnpicklingError,
    ArithmeticError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True, slots=True)
class Cells:
    """The cells of a sparse matrix that are not empty.

    Attributes:
        shape: rows and columns of the matrix.
        row: row of each cell.
        column: column of each cell.
        value: value of each cell.
    """

    shape: tuple[int, int]
    row: np.ndarray
    column: np.ndarray
    value: np.ndarray


def csr_cells(stream: IO[bytes], name: str) -> Cells:
    """The cells of a pickled `scipy.sparse.csr_matrix`.

    Args:
        stream: the pickle.
        name: its name, for errors.

    Raises:
        TableError: it is not a pickle of that, or it asks for anything else.
    """
    try:
        held = _MatrixUnpickler(stream).load()
    except _REFUSED as error:
        raise TableError(
            f"{name} is not a pickled sparse matrix, and was not run: {error}"
        ) from error
    if not isinstance(held, _Csr):
        raise TableError(f"{name} holds {type(held).__name__}: expected a scipy.sparse.csr_matrix")
    cells = held.cells()
    if cells is None:
        raise TableError(f"{name} holds a csr_matrix that contradicts itself: fetch it again")
    return cells


class _Csr:
    """Stands in for `scipy.sparse.csr_matrix`: takes its attributes and runs nothing."""

    def __setstate__(self, state: Mapping[str, object]) -> None:
        self.state = state

    def cells(self) -> Cells | None:
        """The cells; None where the attributes do not fit together."""
        state: Mapping[str, object] = getattr(self, "state", {})
        shape = _shape(state.get("_shape"))
        starts, column, value = (
            _numbers(state.get(part)) for part in ("indptr", "indices", "data")
        )
        if starts is None or column is None or value is None or shape is None:
            return None
        lengths = np.diff(starts)
        fits = (
            len(starts) == shape[0] + 1
            and starts[0] == 0
            and starts[-1] == len(column) == len(value)
            and (lengths >= 0).all()
            and (column >= 0).all()
            and (column < shape[1]).all()
        )
        if not fits:
            return None
        return Cells(shape, np.repeat(np.arange(shape[0]), lengths), column, value)


class _MatrixUnpickler(pickle.Unpickler):
    """Knows the few names that the pickle of a sparse matrix needs, and no other."""

    def find_class(self, module_name: str, global_name: str, /) -> object:
        replacement = _KNOWN.get((module_name, global_name))
        if replacement is None:
            raise pickle.UnpicklingError(f"it asks for {module_name}.{global_name}")
        return replacement


def _empty_array(*_arguments: object) -> np.ndarray:
    """An array to be given its contents: as numpy's own, but of a size no pickle chooses."""
    return _reconstruct(np.ndarray, (0,), b"b")


def _numbers(value: object) -> np.ndarray | None:
    if isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind in "iuf":
        return value
    return None


def _shape(value: object) -> tuple[int, int] | None:
    match value:
        case (int(rows), int(columns)) if rows >= 0 and columns >= 0:
            return rows, columns
        case _:
            return None


_KNOWN: Mapping[tuple[str, str], object] = {
    ("scipy.sparse._csr", "csr_matrix"): _Csr,
    ("scipy.sparse.csr", "csr_matrix"): _Csr,
    ("numpy.core.multiarray", "_reconstruct"): _empty_array,
    ("numpy._core.multiarray", "_reconstruct"): _empty_array,
    # Only ever the argument of _reconstruct, which takes none.
    ("numpy", "ndarray"): "numpy.ndarray",
    ("numpy", "dtype"): np.dtype,
}
