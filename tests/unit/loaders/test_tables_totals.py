from collections.abc import Callable
from datetime import UTC, datetime
from itertools import permutations
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loaders.errors import TableError
from loaders.tables import (
    INTERACTIONS,
    InteractionTotals,
    Rejected,
    Spill,
    TableSpec,
    as_table,
)

WriteTables = Callable[..., Path]
ReadTable = Callable[[Path, TableSpec], tuple[pl.DataFrame, list[Rejected]]]
ReadCsv = Callable[[str | bytes], tuple[pl.DataFrame, list[Rejected]]]


ROWS = st.tuples(
    st.sampled_from(["u", "v"]),
    st.sampled_from(["i", "j"]),
    st.sampled_from(["view", "buy"]),
    st.none() | st.floats(-1e6, 1e6, allow_nan=False),
    st.none() | st.datetimes(datetime(1990, 1, 1), datetime(2025, 1, 1)),
)


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


def interactions(rows: list[tuple[object, ...]]) -> pl.DataFrame:
    names = ["user_id", "item_id", "event", "value", "timestamp"]
    cells = {name: [row[n] for row in rows] for n, name in enumerate(names)}
    return as_table(INTERACTIONS, pl.DataFrame(cells, strict=False))


def totals(*batches: pl.DataFrame) -> list[tuple[object, ...]]:
    adding = InteractionTotals()
    for batch in batches:
        adding.add(batch)
    return adding.frame().rows()


class TestTotals:
    def test_planted_answer(self) -> None:
        rows = [
            ("u", "i", "view", 2.0, datetime(2020, 1, 2)),
            ("u", "i", "view", None, datetime(2020, 1, 1)),
            ("u", "i", "view", 3.0, datetime(2020, 1, 2)),
            ("u", "i", "view", 9.0, None),
            ("u", "i", "buy", None, None),
        ]
        assert totals(interactions(rows)) == [
            ("u", "i", "buy", 1, 1.0, None, None, None),
            ("u", "i", "view", 4, 15.0, 3.0, at(2020, 1, 1), at(2020, 1, 2)),
        ]

    @pytest.mark.long
    def test_tenths_add_up_the_same_in_any_order(self) -> None:
        values = [0.1, 0.2, 0.3, 0.7, 1e6]
        answers = {
            totals(*(interactions([("u", "i", "e", value, None)]) for value in order))[0][4]
            for order in permutations(values)
        }
        assert answers == {1_000_001.3}

    @given(rows=st.lists(ROWS, max_size=12), data=st.data())
    def test_neither_order_nor_batches_matter(
        self, rows: list[tuple[object, ...]], data: st.DataObject
    ) -> None:
        shuffled = data.draw(st.permutations(rows))
        cut = data.draw(st.integers(0, len(rows)))
        parts = [interactions(part) for part in (shuffled[:cut], shuffled[cut:]) if part]
        assert totals(*parts) == totals(*([interactions(rows)] if rows else []))

    @given(rows=st.lists(ROWS, min_size=1, max_size=30), data=st.data())
    def test_what_is_written_down_comes_back_the_same(
        self, rows: list[tuple[object, ...]], data: st.DataObject
    ) -> None:
        shuffled = data.draw(st.permutations(rows))
        with pytest.MonkeyPatch.context() as patch, InteractionTotals() as adding:
            patch.setattr("loaders.tables._totals._HELD_ROWS", 3)
            patch.setattr("loaders.tables._totals._FRAME_ROWS", 2)
            for row in shuffled:
                adding.add(interactions([row]))
            bound = adding.rows
            frames = list(adding.frames())
        assert sum(frame.height for frame in frames) <= bound
        for frame in frames:
            assert frame.rows() == frame.sort("user_id", "item_id", "event").rows()
            assert frame.height <= 2 or frame["user_id"].n_unique() == 1
        owners = [user for frame in frames for user in frame["user_id"].unique()]
        assert len(owners) == len(set(owners))
        assert pl.concat(frames).sort("user_id", "item_id", "event").rows() == totals(
            interactions(rows)
        )

    def test_few_totals_stay_in_memory(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("loaders.tables._totals._HELD_ROWS", 4)
        batch = interactions([("u", "i", "e", 1.0, None), ("v", "i", "e", 1.0, None)])
        with InteractionTotals() as adding:
            for _ in range(9):
                adding.add(batch)
            assert adding._spill.rows == 0
            assert adding.frame()["count"].to_list() == [9, 9]

    def test_groups_with_one_hash_stay_apart(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rows = [(user, item, "e", 1.0, None) for user in "uvu" for item in "iji"]
        expected = totals(interactions(rows))
        monkeypatch.setattr("loaders.tables._totals._digest", lambda: pl.col("event").hash())
        assert totals(interactions(rows)) == expected
        assert len(expected) == 4

    def test_the_folder_goes_with_the_context(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("loaders.tables._totals._HELD_ROWS", 1)
        with InteractionTotals(tmp_path) as adding:
            adding.add(interactions([("u", "i", "e", 1.0, None), ("v", "i", "e", 1.0, None)]))
            assert list(tmp_path.glob("*/*.arrow"))
            assert adding.rows == 2
        assert not list(tmp_path.iterdir())

    def test_a_folder_that_cannot_be_written(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("loaders.tables._totals._HELD_ROWS", 1)
        adding = InteractionTotals(tmp_path / "nowhere")
        with pytest.raises(TableError, match="name another folder in TMPDIR"):
            adding.add(interactions([("u", "i", "e", 1.0, None), ("v", "i", "e", 1.0, None)]))


FURTHER = st.tuples(
    st.sampled_from(["u", "v"]),
    st.none() | st.sampled_from([1.0, 2.0]),
    st.none() | st.sampled_from([100_000, 100_010]),
    st.none() | st.sampled_from(["phone", "tablet"]),
    st.none() | st.lists(st.integers(0, 2), max_size=2),
)


def with_properties(rows: list[tuple[object, ...]]) -> pl.DataFrame:
    types = {
        "user_id": pl.String,
        "value": pl.Float64,
        "timestamp": pl.Int64,
        "device": pl.String,
        "pages": pl.List(pl.Int64),
    }
    return as_table(
        INTERACTIONS,
        pl.DataFrame(rows, schema=types, orient="row").with_columns(item_id=pl.lit("i")),
    )


class TestFurtherColumns:
    def test_the_newest_row_gives_all_of_them(self) -> None:
        rows = [
            ("u", None, 100_010, "phone", None),
            ("u", None, 100_020, None, [1, 2]),
            ("u", 9.0, None, "watch", [3]),
        ]
        adding = InteractionTotals()
        adding.add(with_properties(rows))
        found = adding.frame()
        assert found.columns[-2:] == ["device", "pages"]
        assert found.select("count", "device", "pages").rows() == [(3, None, [1, 2])]

    @given(rows=st.lists(FURTHER, min_size=1, max_size=8), data=st.data())
    def test_neither_order_nor_batches_matter(
        self, rows: list[tuple[object, ...]], data: st.DataObject
    ) -> None:
        def added(rows: list[tuple[object, ...]], step: int) -> list[tuple[object, ...]]:
            with pytest.MonkeyPatch.context() as patch, InteractionTotals() as adding:
                patch.setattr("loaders.tables._totals._HELD_ROWS", 2)
                for start in range(0, len(rows), step):
                    adding.add(with_properties(rows[start : start + step]))
                return adding.frame().rows()

        shuffled = data.draw(st.permutations(rows))
        assert added(shuffled, data.draw(st.integers(1, 4))) == added(rows, len(rows))

    def test_a_column_that_some_rows_have_not(self) -> None:
        adding = InteractionTotals()
        adding.add(with_properties([("u", None, 100_000, "phone", None)]))
        adding.add(interactions([("u", "i", "interaction", 1.0, datetime(2020, 1, 1))]))
        assert adding.frame().select("device", "count").rows() == [(None, 2)]


class TestSpill:
    def test_equal_keys_share_a_partition_and_nothing_is_lost(self, tmp_path: Path) -> None:
        frames = [
            pl.DataFrame({"key": [f"{n % 300}" for n in range(start, start + 500)]}).with_columns(
                n=pl.int_range(start, start + 500)
            )
            for start in range(0, 2000, 500)
        ]
        with Spill("key", tmp_path) as spill:
            for frame in frames:
                spill.add(frame)
            spill.add(frames[0].clear())
            parts = list(spill.partitions())
            assert spill.rows == 2000
        assert len(parts) > 50
        owners = [key for part in parts for key in part["key"].unique()]
        assert len(owners) == len(set(owners)) == 300
        assert pl.concat(parts).sort("n").equals(pl.concat(frames))
        assert all(part["n"].is_sorted() for part in parts)
        assert not list(tmp_path.iterdir())

    def test_nothing_added_makes_no_folder(self, tmp_path: Path) -> None:
        with Spill("key", tmp_path) as spill:
            assert list(spill.partitions()) == []
            assert not list(tmp_path.iterdir())
