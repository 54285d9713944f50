"""Values of arrays as files."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from loaders.files import write_bytes
from loaders.types import IdMap
from loaders.value_file import read_value, write_value


@dataclass(frozen=True)
class Inner:
    rows: sp.csr_matrix
    share: float | None


@dataclass(frozen=True)
class Outer:
    ids: IdMap
    inner: Mapping[str, Inner]
    vectors: Any
    names: tuple[str, ...]
    some: frozenset[str]


def test_a_value_comes_back_as_it_was(tmp_path: Path) -> None:
    ids = IdMap(sorted(["", "a", "a\0", "nul\0inside", "ü", "😀", '"', "1" * 300]))
    rows = sp.csr_matrix(np.array([[0.0, 0.1], [0.0, 0.0]], np.float32))
    value = Outer(
        ids, {"one": Inner(rows, 0.1 + 0.2), "map": Inner(rows[:0], None)},
        np.arange(6, dtype=np.float32).reshape(2, 3), ("x", ""), frozenset("ab"),
    )  # fmt: skip
    path = tmp_path / "value.npz"
    write_value(path, [value, {"metrics": {"ndcg": np.float64(0.5)}}, True, None, 3])
    (read, *more) = read_value(path, (Outer, Inner))
    assert more == [{"metrics": {"ndcg": 0.5}}, True, None, 3]
    assert (read.ids, read.names, read.some) == (ids, ("x", ""), frozenset("ab"))
    assert read.vectors.dtype == np.float32
    np.testing.assert_array_equal(read.vectors, value.vectors)
    assert read.inner["map"].share is None
    assert read.inner["map"].rows.shape == (0, 2)
    assert read.inner["one"].share == 0.1 + 0.2
    for part in ("data", "indices", "indptr"):
        one, other = getattr(read.inner["one"].rows, part), getattr(rows, part)
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    assert [each.name for each in tmp_path.iterdir()] == ["value.npz"]


def test_only_the_classes_named_are_made(tmp_path: Path) -> None:
    write_value(tmp_path / "value.npz", Inner(sp.csr_matrix((1, 1)), None))
    with pytest.raises(ValueError, match="Inner"):
        read_value(tmp_path / "value.npz", (Outer,))


def test_what_cannot_be_written_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "value.npz"
    write_value(path, 1)
    with pytest.raises(ValueError, match="allow_pickle"):
        write_value(path, np.array([object()]))
    with pytest.raises(TypeError):
        write_value(path, object())
    assert read_value(path, ()) == 1
    write_bytes(path, b"two")
    assert path.read_bytes() == b"two"


def test_a_damaged_file_is_told_or_says_the_same(tmp_path: Path) -> None:
    path = tmp_path / "value.npz"
    write_value(path, np.arange(3))
    whole, refused = path.read_bytes(), 0
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 9]) + whole[place + 1 :])
        try:
            np.testing.assert_array_equal(read_value(path, ()), [0, 1, 2])
        except (OSError, ValueError):
            refused += 1
    assert refused > len(whole) / 2
