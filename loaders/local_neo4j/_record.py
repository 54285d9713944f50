"""`server.json`: what is remembered of the server that was started last."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

How = Literal["java", "docker"]


@dataclass(frozen=True, slots=True)
class ServerRecord:
    """How the server was started.

    That there is a record does not say that the server lives: ask the one that started it.

    Attributes:
        how: what runs it.
        bolt_port: its port of Bolt.
        http_port: its port of HTTP.
        version: version of Neo4j.
        pid: process id; None in Docker.
    """

    how: How
    bolt_port: int
    http_port: int
    version: str
    pid: int | None = None

    def to_json(self) -> str:
        """The text of the file."""
        return json.dumps(asdict(self))

    def to_printf_format(self) -> str:
        """The text of the file as printf's format, to be given the process id."""
        return json.dumps(asdict(self) | {"pid": "PID"}).replace("%", "%%").replace('"PID"', "%d")


def record_path(folder: Path) -> Path:
    """Where the record is, below the server's folder."""
    return folder / "server.json"


def read_record(folder: Path) -> ServerRecord | None:
    """The record, or None when there is none or it was cut off while being written."""
    try:
        return ServerRecord(**json.loads(record_path(folder).read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return None
