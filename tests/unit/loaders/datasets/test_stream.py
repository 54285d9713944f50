from collections.abc import Iterator

import polars as pl
import pytest

from loaders.datasets._stream import StreamTables, distinct, gathered
from loaders.tables import INTERACTIONS, ITEMS, Reject, Rejected


def test_what_is_gathered_does_not_depend_on_how_it_is_held(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    batches = [pl.DataFrame({"a": [i % 7, i % 5, i]}) for i in range(100)]
    whole = pl.concat(gathered(batches, distinct))
    monkeypatch.setattr("loaders.datasets._stream._COMPACT_ROWS", 10)
    assert pl.concat(gathered(batches, distinct)).equals(whole)
    assert sorted(whole["a"]) == list(range(100))


def test_nothing_is_gathered_of_nothing() -> None:
    assert list(gathered([], distinct)) == []


def test_rejected_rows_come_in_line_order_and_name_their_table() -> None:
    def read(reject: Reject) -> Iterator[pl.DataFrame]:
        for lines in ((3, 1), (9, 7)):
            for line in lines:
                reject(Rejected("u.item", line, "", "is missing", ""))
            yield pl.DataFrame()

    noted: list[Rejected] = []
    source = StreamTables({INTERACTIONS: read, ITEMS: read})
    assert source.specs == (ITEMS, INTERACTIONS)
    assert len(list(source.batches(ITEMS, noted.append))) == 2
    assert [(each.line, each.table) for each in noted] == [(line, "items") for line in (1, 3, 7, 9)]
