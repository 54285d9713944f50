"""JSON Lines, record by record; what is needed of each is taken by a function."""

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, Any, TypeVar

import orjson

from loaders.errors import TableError
from loaders.tables import Reject, Rejected
from loaders.tables._raw import shown_text

_MAX_LINE_BYTES = 64 * 1024 * 1024
# A longer line means that the file is another one; unbounded it would take all memory.

Record = Mapping[str, Any]
"""One line's JSON object."""
T = TypeVar("T")


class FieldError(Exception):
    """A field does not hold what is expected.

    Attributes:
        field: its name.
        reason: what came and what was expected.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


def records(
    stream: IO[bytes],
    name: str,
    take: Callable[[Record], T],
    reject: Reject,
    *,
    hidden: Sequence[str] = (),
) -> Iterator[tuple[int, T]]:
    """What `take` makes of each line, after the line's number.

    Args:
        stream: the contents of the file.
        name: its name, for errors.
        take: takes what is needed of a record; raises `FieldError` where it is not there.
        reject: takes note of each rejected line.
        hidden: fields that are not shown of a rejected record.

    Raises:
        TableError: a line has no end.
    """
    number = 0
    while line := stream.readline(_MAX_LINE_BYTES):
        number += 1
        if len(line) == _MAX_LINE_BYTES:
            raise TableError(
                f"{name} holds a line of more than {_MAX_LINE_BYTES:,} bytes: "
                "expected a JSON object on each line: is it the right file?"
            )
        if not line.strip():
            continue
        record = _record(line)
        if record is None:
            shown = shown_text(line[:100].decode("utf-8", "surrogateescape"))
            reject(Rejected(name, number, "", "is not a JSON object", shown))
            continue
        try:
            taken = take(record)
        except FieldError as error:
            shown = {key: value for key, value in record.items() if key not in hidden}
            text = shown_text(orjson.dumps(shown, default=str).decode())
            reject(Rejected(name, number, error.field, error.reason, text))
        else:
            yield number, taken


def _record(line: bytes) -> Record | None:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        value = _python_literal(line)
    return value if isinstance(value, dict) else None


def _python_literal(line: bytes) -> object:
    """The value of a line written as Python shows it, as the metadata of 2014 was published."""
    if not line.startswith(b"{'"):
        return None
    try:
        return ast.literal_eval(line.decode("utf-8"))
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
