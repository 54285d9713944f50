"""What the tests of the data sets share: made files, and how their tables are read."""

import tarfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import pytest

from loaders.tables import Rejected, Tables, TableSpec


@dataclass
class Reading:
    """Reads tables and keeps what they reject."""

    rejected: list[Rejected] = field(default_factory=list)

    def table(self, source: Tables, spec: TableSpec) -> pl.DataFrame:
        """A whole table, whose columns are checked against its specification."""
        batches = list(source.batches(spec, self.rejected.append))
        for batch in batches:
            assert batch.columns[: len(spec.columns)] == list(spec.names)
            assert spec.properties or len(batch.columns) == len(spec.columns)
        return pl.concat(batches)

    def rows(self, source: Tables, spec: TableSpec, *columns: str) -> list[tuple[object, ...]]:
        """Some columns of a table, row by row."""
        return self.table(source, spec).select(columns).rows()

    @property
    def reasons(self) -> list[tuple[str, int, str, str]]:
        """File, line, column and reason of what was rejected."""
        return [(each.file, each.line, each.column, each.reason) for each in self.rejected]


@pytest.fixture
def reading() -> Reading:
    return Reading()


Files = Mapping[str, str | bytes]
Written = Callable[..., Path]


@pytest.fixture
def written(tmp_path: Path) -> Callable[[Files], Path]:
    """Writes files into a folder of their own."""

    def write(files: Files, folder: str = "files") -> Path:
        for name, content in files.items():
            path = tmp_path / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return tmp_path / folder

    return write


@pytest.fixture
def packed(tmp_path: Path, written: Written) -> Callable[[Files, str], Path]:
    """Packs files into an archive, in a folder of its own."""

    def pack(files: Files, archive: str) -> Path:
        unpacked = written(files, "unpacked")
        folder = tmp_path / "packed"
        folder.mkdir(exist_ok=True)
        if archive.endswith(".zip"):
            with zipfile.ZipFile(folder / archive, "w", zipfile.ZIP_DEFLATED) as zipped:
                for name in files:
                    zipped.write(unpacked / name, f"set/{name}")
        else:
            with tarfile.open(folder / archive, f"w:{archive.rpartition('.')[2]}") as tar:
                tar.add(unpacked, "set")
        return folder

    return pack


@pytest.fixture
def together(tmp_path: Path, shared_data: Path) -> Callable[..., Path]:
    """A folder with the archives of several of the shared data sets."""

    def link(*names: str) -> Path:
        folder = tmp_path / "together"
        folder.mkdir()
        for name in names:
            (folder / f"{name}.tar.xz").symlink_to(shared_data / name / f"{name}.tar.xz")
        return folder

    return link
