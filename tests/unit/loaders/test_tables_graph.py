from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from loaders.errors import TableError
from loaders.tables import (
    FolderTables,
    Rejected,
    TableSpec,
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
            "b,y,view,2,0,\nb,y,view,,10,\na,y,view,,,\na,x,buy,5,,e1\na,x,buy,5,,e1\na,x,buy,,,\n",
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
        found = graph.interactions
        assert found.events == ("buy", "view")
        assert found.user_index.tolist() == [0, 0, 1]
        assert found.item_index.tolist() == [1, 2, 2]
        assert found.event_index.tolist() == [0, 1, 1]
        assert found.weight.tolist() == [6.0, 1.0, 3.0]
        np.testing.assert_array_equal(found.last_at, [np.nan, np.nan, 10.0])
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

    def test_more_kinds_of_events_than_arrays_can_hold(
        self, write_tables: WriteTables, tmp_path: Path
    ) -> None:
        rows = "".join(f"u,i,event{n}\n" for n in range(128))
        write_tables(interactions=f"user_id,item_id,event\n{rows}")
        with pytest.raises(TableError, match="128 kinds of event: expected at most 127"):
            graph_from_tables(FolderTables(tmp_path), no_reject)
