"""Whom a file of users names."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from loaders.errors import TableError
from recsvc.recommend.batch_file import _read_ids

GRAPH: Any = SimpleNamespace(users={"zoë", "u2"})


def test_the_mark_of_utf_8_belongs_to_no_id(tmp_path: Path) -> None:
    (tmp_path / "users").write_bytes("zoë\r\nu2\n".encode("utf-8-sig"))
    assert _read_ids(tmp_path / "users", GRAPH) == ["zoë", "u2"]


def test_a_file_of_users_that_is_not_utf_8_is_said(tmp_path: Path) -> None:
    (tmp_path / "users").write_text("zoë\n", encoding="latin-1")
    with pytest.raises(TableError, match="users is not UTF-8"):
        _read_ids(tmp_path / "users", GRAPH)
