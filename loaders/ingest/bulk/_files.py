"""The files that `neo4j-admin database import` reads, and what it is told of them."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal

import polars as pl

from loaders._closing import Closing
from loaders.errors import LocalNeo4jError

Kind = Literal["nodes", "relationships"]

# What a column may be named: a header gives more characters than these a meaning of their own.
_PLAIN_NAME = re.compile(r"[\w.-]+(?: [\w.-]+)*")
_TYPES: dict[type[pl.DataType], str] = {
    pl.String: "string",
    pl.Int64: "long",
    pl.Float64: "double",
    pl.Float32: "double",
    pl.Boolean: "boolean",
    pl.Datetime: "datetime",
    pl.Date: "date",
}
_TIME = "%Y-%m-%dT%H:%M:%S%.6fZ"


def header_of(name: str, dtype: pl.DataType) -> str | None:
    """What names a column and its type to the importer, or None where CSV cannot carry it."""
    kind = _TYPES.get(type(dtype))
    return f"{name}:{kind}" if kind and _PLAIN_NAME.fullmatch(name) else None


@dataclass(slots=True)
class _File:
    kind: Kind
    label: str
    handle: IO[bytes]
    name: str
    spans_lines: bool = False


@dataclass(slots=True)
class ImportFiles(Closing):
    """CSV files in one folder, one for each label or type and header.

    A context manager, which closes them.

    Args:
        folder: where they are made.
    """

    folder: Path
    _files: dict[tuple[str, ...], _File] = field(default_factory=dict)

    def add(self, kind: Kind, label: str, rows: pl.DataFrame) -> None:
        """Write rows down.

        Args:
            kind: what they are.
            label: the nodes' label, or the relationships' type.
            rows: every column is named by what the importer is told of it, such as
                `title:string`.

        Raises:
            LocalNeo4jError: they cannot be written.
        """
        key = (kind, label, *rows.columns)
        file = self._files.get(key)
        try:
            if file is None:
                name = f"{label.lower()}-{len(self._files)}.csv"
                file = _File(kind, label, (self.folder / name).open("wb"), name)
                self._files[key] = file
                rows.clear().write_csv(file.handle)
            file.spans_lines = file.spans_lines or _spans_lines(rows)
            rows.select(_as_text(column) for column in rows).write_csv(
                file.handle, include_header=False, quote_style="non_numeric"
            )
        except OSError as error:
            raise LocalNeo4jError(
                f"the files of the import cannot be written to {self.folder}: {error}: make room "
                "there, or move everything with RECSVC_HOME"
            ) from error

    def options(self) -> list[str]:
        """What the importer is told, with files named from their folder."""
        names = [f"./{file.name}" for file in self._files.values() if file.spans_lines]
        several_lines = [f"--multiline-fields={','.join(names)}", "--multiline-fields-format=v2"]
        return [
            "--id-type=string",
            "--bad-tolerance=0",
            "--overwrite-destination=true",
            *(several_lines if names else []),
            *(f"--{file.kind}={file.label}=./{file.name}" for file in self._files.values()),
            # Takes the place of more files, for which the importer would take the name.
            "--verbose",
            "neo4j",
        ]

    @property
    def bytes(self) -> int:
        """How large all files are."""
        return sum((self.folder / file.name).stat().st_size for file in self._files.values())

    def close(self) -> None:
        """Close the files; they stay."""
        for file in self._files.values():
            file.handle.close()


def _as_text(column: pl.Series) -> pl.Series:
    """Cells as the importer reads them; those that CSV writes alike are left as they are."""
    if isinstance(column.dtype, pl.Datetime):
        return column.dt.strftime(_TIME)
    if column.dtype.is_float():
        exact = column.cast(pl.Float64)
        if exact.is_infinite().any():
            return exact.cast(pl.String).str.replace("inf", "Infinity", literal=True)
        return exact
    return column


def _spans_lines(rows: pl.DataFrame) -> bool:
    text = rows.select(pl.col(pl.String))
    has_break = pl.all().str.contains("[\r\n]").any()
    return bool(text.width and text.select(pl.any_horizontal(has_break)).item())
