from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from loaders.tables import (
    INTERACTIONS,
    FolderTables,
    FrameTables,
    Rejected,
    TableSpec,
    as_table,
    graph_from_tables,
)

WriteTables = Callable[..., Path]
ReadTable = Callable[[Path, TableSpec], tuple[pl.DataFrame, list[Rejected]]]
ReadCsv = Callable[[str | bytes], tuple[pl.DataFrame, list[Rejected]]]


def no_reject(rejected: Rejected) -> None:
    raise AssertionError(str(rejected))


class TestGraph:
    def test_planted_graph(self, write_tables: WriteTables, tmp_path: Path) -> None:
        write_tables(
            interactions="user_id,item_id,event,value,timestamp,event_id\n"
            "b,y,view,2,100000,\nb,y,view,,100010,\na,y,view,,,\na,x,buy,5,,e1\na,x,buy,5,,e1\na,x,buy,,,\n",
            items="item_id\nz\n",
            users="user_id,name\nc,Cem\n",
            follows="follower_id,followee_id\nb,d\na,b\nb,d\n",
            categories="category_id,parent_id\nrock,music\nrock,\nfolk,music\n",
            item_categories="item_id,category_id,weight\ny,rock,2\ny,rock,3\nw,jazz,\n",
            preferences="user_id,category_id\na,rock\n",
        )
        graph = graph_from_tables(FolderTables(tmp_path), no_reject)
        assert list(graph.users) == ["a", "b", "c", "d"]
        assert list(graph.items) == ["w", "x", "y", "z"]
        assert list(graph.categories) == ["folk", "jazz", "music", "rock"]
        interactions = graph.interactions
        assert interactions.events == ("buy", "view")
        assert interactions.user_index.tolist() == [0, 0, 1]
        assert interactions.item_index.tolist() == [1, 2, 2]
        assert interactions.event_index.tolist() == [0, 1, 1]
        assert interactions.weight.tolist() == [6.0, 1.0, 3.0]
        np.testing.assert_array_equal(interactions.last_at, [np.nan, np.nan, 100_010.0])
        edges = (graph.follows, graph.prefers, graph.in_category, graph.subcategory_of)
        assert [(e.source.tolist(), e.target.tolist(), e.weight.tolist()) for e in edges] == [
            ([0, 1], [1, 3], [1.0, 1.0]),
            ([0], [3], [1.0]),
            ([0, 2], [1, 3], [1.0, 3.0]),
            ([0, 3], [2, 2], [1.0, 1.0]),
        ]

    def test_links_of_several_kinds_add_up(self, write_tables: WriteTables, tmp_path: Path) -> None:
        write_tables(
            related_items="item_id,related_id,kind,weight\n"
            "a,b,bought,5\na,b,bought,2\na,b,viewed,0.5\nb,a,,\n"
        )
        related = graph_from_tables(FolderTables(tmp_path), no_reject).related_to
        assert (related.source.tolist(), related.target.tolist()) == ([0, 1], [1, 0])
        assert related.weight.tolist() == [2.5, 1.0]

    def test_interactions_alone_and_empty(self, write_tables: WriteTables) -> None:
        graph = graph_from_tables(
            FolderTables(write_tables(interactions="user_id,item_id\n")), no_reject
        )
        assert (len(graph.users), len(graph.items), len(graph.interactions)) == (0, 0, 0)

    def test_ids_sort_by_code_point(self, write_tables: WriteTables, tmp_path: Path) -> None:
        ids = ["é", "z", "Z", "10", "9", "😀", "\uffee"]
        write_tables(users="user_id\n" + "\n".join(ids) + "\n")
        graph = graph_from_tables(FolderTables(tmp_path), no_reject)
        assert list(graph.users) == sorted([*ids, "u"])

    def test_any_number_of_kinds_of_event(self) -> None:
        """What a graph holds is read: the limit is for what comes in."""
        kinds = [f"event{n:03}" for n in range(300)]
        frame = pl.DataFrame({"user_id": "u", "item_id": "i", "event": kinds})
        tables = pl.concat([as_table(INTERACTIONS, part) for part in frame.iter_slices(100)])
        found = graph_from_tables(FrameTables({INTERACTIONS: tables}), no_reject).interactions
        assert found.events == tuple(kinds)
        assert found.event_index.tolist() == list(range(300))

    def test_a_sum_beyond_the_limit_is_left_out(
        self, write_tables: WriteTables, tmp_path: Path
    ) -> None:
        rows = "u,i,999999\nu,i,2\nu,j,1000000\nv,i,-600000\nv,i,-600000\nw,i,9e5\nw,i,-9e5\n"
        write_tables(interactions=f"user_id,item_id,value\n{rows}")
        rejected: list[Rejected] = []
        graph = graph_from_tables(FolderTables(tmp_path), rejected.append)
        assert graph.interactions.weight.tolist() == [1e6, 0.0]
        assert [(r.table, r.line, r.column, r.rows, r.reason) for r in rejected] == [
            ("interactions", 0, "value", 2,
             f"the sum of 2 values of '{user}', 'i', 'interaction' is beyond ±1,000,000")
            for user in ("u", "v")
        ]  # fmt: skip
        assert list(graph.users) == ["u", "w"]
