"""Tables on disk and what is read from them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from loaders.tables import INTERACTIONS, FolderTables, Rejected, TableSpec

Read = tuple[pl.DataFrame, list[Rejected]]


@pytest.fixture
def write_tables(tmp_path: Path) -> Callable[..., Path]:
    """Writes tables into a folder: text and bytes as CSV, frames as Parquet."""

    def write(**tables: str | bytes | pl.DataFrame) -> Path:
        for name, content in ({"interactions": "user_id,item_id\nu,i\n"} | tables).items():
            if isinstance(content, pl.DataFrame):
                content.write_parquet(tmp_path / f"{name}.parquet")
            else:
                data = content.encode() if isinstance(content, str) else content
                (tmp_path / f"{name}.csv").write_bytes(data)
        return tmp_path

    return write


@pytest.fixture
def read_table() -> Callable[[Path, TableSpec], Read]:
    """Reads a table of a folder: its good rows, and those that were rejected."""

    def read(folder: Path, spec: TableSpec) -> Read:
        rejected: list[Rejected] = []
        batches = list(FolderTables(folder).batches(spec, rejected.append))
        return (pl.concat(batches) if batches else pl.DataFrame()), rejected

    return read


@pytest.fixture
def read_csv(
    write_tables: Callable[..., Path], read_table: Callable[[Path, TableSpec], Read]
) -> Callable[[str | bytes], Read]:
    """Reads text as the interactions of a folder."""

    def read(text: str | bytes) -> Read:
        return read_table(write_tables(interactions=text), INTERACTIONS)

    return read


@pytest.fixture
def read_bytes(tmp_path: Path, read_table: Callable[[Path, TableSpec], Read]) -> Callable[..., Any]:
    """Reads bytes as a file of a name: its good rows, and the others by line, column, reason."""

    def read(name: str, data: bytes, spec: TableSpec = INTERACTIONS) -> Any:
        (tmp_path / "interactions.csv").write_text("user_id,item_id\n")
        if spec is INTERACTIONS:
            (tmp_path / "interactions.csv").unlink()
        (tmp_path / name).write_bytes(data)
        frame, rejected = read_table(tmp_path, spec)
        assert {each.file for each in rejected} <= {name}
        assert {each.table for each in rejected} <= {spec.name}
        return frame, [(each.line, each.column, each.reason) for each in rejected]

    return read
