"""A value made of arrays as one file: whole, or not there. Nothing is pickled."""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import scipy.sparse as sp
from numpy.typing import NDArray

from loaders.files import whole_file
from loaders.types import IdMap

_DOCUMENT = "document"


def write_value(path: Path, value: Any) -> None:
    """Write a value.

    It may be put together from arrays, sparse matrices, ids, dataclasses, mappings by name, lists,
    tuples, sets of names, and what JSON knows.

    Raises:
        OSError: the file cannot be written; what was there before stays.
    """
    arrays: list[NDArray[Any]] = []
    document = orjson.dumps(_encoded(value, arrays), option=orjson.OPT_SERIALIZE_NUMPY)
    named = {str(number): array for number, array in enumerate(arrays)}
    with whole_file(path) as part, part.open("wb") as file:
        np.savez(
            file, allow_pickle=False, **{_DOCUMENT: np.frombuffer(document, np.uint8)}, **named
        )


def read_value(path: Path, classes: Iterable[type[Any]]) -> Any:
    """Read what `write_value` wrote.

    Args:
        path: the file.
        classes: the dataclasses that may be in it.

    Raises:
        OSError: there is no such file.
        ValueError: it holds something else, or is damaged.
    """
    class_of = {class_.__name__: class_ for class_ in classes}
    try:
        # Opened here: numpy leaves a damaged file open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            document = orjson.loads(arrays[_DOCUMENT].tobytes())
            stored = [arrays[str(number)] for number in range(len(arrays.files) - 1)]
        return _decoded(document, stored, class_of)
    except OSError:
        raise
    except Exception as error:  # damaged bytes make parsers raise nearly anything
        raise ValueError(f"{path} is not whole, or holds something else: {error!r}") from error


def _encoded(value: Any, arrays: list[NDArray[Any]]) -> Any:
    """JSON of a value; its arrays are added to `arrays`."""

    def each(parts: Iterable[Any]) -> list[Any]:
        return [_encoded(part, arrays) for part in parts]

    if isinstance(value, np.ndarray):
        arrays.append(value)
        return {"array": len(arrays) - 1}
    if isinstance(value, sp.csr_matrix):
        return {"csr": each((value.data, value.indices, value.indptr)), "shape": value.shape}
    if isinstance(value, IdMap):
        return {"ids": list(value)}
    if dataclasses.is_dataclass(value):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return {"class": type(value).__name__, "fields": _encoded(fields, arrays)}
    if isinstance(value, Mapping):
        return {"map": {name: _encoded(part, arrays) for name, part in value.items()}}
    for name, kind in _SEQUENCES.items():
        if isinstance(value, kind):
            return {name: each(sorted(value) if name == "set" else value)}
    return value


_SEQUENCES: Mapping[str, type[Any]] = {"list": list, "tuple": tuple, "set": frozenset}


def _decoded(value: Any, arrays: list[NDArray[Any]], classes: Mapping[str, type[Any]]) -> Any:
    def each(parts: Iterable[Any]) -> list[Any]:
        return [_decoded(part, arrays, classes) for part in parts]

    if not isinstance(value, dict):
        return value
    (kind, content), *more = value.items()
    if kind == "array":
        return arrays[content]
    if kind == "csr":
        return sp.csr_matrix(tuple(each(content)), shape=tuple(more[0][1]), copy=False)
    if kind == "ids":
        return IdMap(content)
    if kind == "class":
        return classes[content](**_decoded(more[0][1], arrays, classes))
    if kind == "map":
        return {name: _decoded(part, arrays, classes) for name, part in content.items()}
    return _SEQUENCES[kind](each(content))
