import io
import tracemalloc
from typing import Any

import pytest

from loaders.datasets._lines import WHOLE, LineForm, row_batches
from loaders.tables import Rejected

PLAIN = LineForm(("a", "b"))


def read(
    content: bytes, form: LineForm = PLAIN
) -> tuple[list[tuple[Any, ...]], list[int], list[tuple[int, str, str]]]:
    """Rows, their lines, and line, column and reason of what was rejected."""
    rejected: list[Rejected] = []
    batches = list(row_batches(io.BytesIO(content), "f", form, rejected.append))
    rows = [row for batch in batches for row in batch.frame.rows()]
    lines = [line for batch in batches for line in batch.lines]
    return rows, lines, [(each.line, each.column, each.reason) for each in rejected]


def test_lines_are_counted_from_one_with_the_empty_ones() -> None:
    assert read(b"1,2\n\n3,4\r\n5,") == ([("1", "2"), ("3", "4"), ("5", None)], [1, 3, 4], [])


def test_a_byte_order_mark_is_no_text() -> None:
    assert read(b"\xef\xbb\xbf1,2\n")[0] == [("1", "2")]


def test_another_number_of_cells() -> None:
    assert read(b"1\n1,2\n1,2,3\n") == (
        [("1", "2")],
        [2],
        [(1, "", "1 cells: expected 2 (a,b)"), (3, "", "3 cells: expected 2 (a,b)")],
    )


def test_damaged_lines() -> None:
    rows, lines, rejected = read("é,1\n".encode() + b"\xe9,2\n\x00,3\n4,4\n")
    assert (rows, lines) == ([("é", "1"), ("4", "4")], [1, 4])
    assert [(line, reason[:19]) for line, _, reason in rejected] == [
        (2, "is not valid UTF-8:"),
        (3, "holds a NUL charact"),
    ]


def test_latin_1() -> None:
    assert read(b"\xe9,2\n", LineForm(("a", "b"), encoding="latin-1"))[0] == [("é", "2")]


def test_separators_of_two_characters() -> None:
    assert read(b"1::a:b\n", LineForm(("a", "b"), "::"))[0] == [("1", "a:b")]


def test_quoted_cells_stay_in_their_place() -> None:
    form = LineForm(("a", "b"), quoted=True)
    rows, lines, rejected = read(b'1,x\n2,"y,""z"""\n3,"open\n4,w\n', form)
    assert (rows, lines) == ([("1", "x"), ("2", 'y,"z"'), ("4", "w")], [1, 2, 4])
    assert [(line, reason[:7]) for line, _, reason in rejected] == [(3, "not CSV")]


def test_a_quote_is_text_where_cells_are_not_quoted() -> None:
    assert read(b'"1,"2\n')[0] == [('"1', '"2')]


def test_columns_of_a_header_in_any_order() -> None:
    assert read(b"c,b,a\n1,2,3\n", LineForm(("a", "b"), header=True))[0] == [("3", "2")]


def test_a_row_with_two_faults_is_rejected_once() -> None:
    form = LineForm(("a", "b"), parsers={"a": WHOLE, "b": WHOLE})
    assert read(b"x,y\n1,2\n,3\n", form) == (
        [(1, 2), (None, 3)],
        [2, 3],
        [(1, "a", "'x' is not a whole number")],
    )


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_nothing_is_lost_between_blocks(end: bytes) -> None:
    rows, lines, _ = read(b"".join(b"%d,%s%s" % (i, b"x" * (i % 50), end) for i in range(200_000)))
    assert lines == list(range(1, 200_001))
    assert [int(a) for a, _ in rows] == list(range(200_000))


def test_a_line_that_does_not_end_takes_no_memory() -> None:
    class Endless(io.RawIOBase):
        left = 100 * 1024 * 1024

        def readable(self) -> bool:
            return True

        def read(self, size: int = -1) -> bytes:
            size = min(size, self.left)
            self.left -= size
            return b"x" * size

    rejected: list[Rejected] = []
    tracemalloc.start()
    try:
        batches = list(row_batches(Endless(), "f", PLAIN, rejected.append))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sum(batch.frame.height for batch in batches) == 0
    assert [each.line for each in rejected] == [1]
    assert peak < 64 * 1024 * 1024
