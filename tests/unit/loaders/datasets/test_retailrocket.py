import os
import pickle
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from loaders.datasets.retailrocket import retailrocket
from loaders.errors import TableError
from loaders.tables import (
    CATEGORIES,
    INTERACTIONS,
    ITEM_CATEGORIES,
    ITEMS,
    USERS,
    graph_from_tables,
)

KAGGLE = {
    "events.csv": (
        "timestamp,visitorid,event,itemid,transactionid\n"
        "1433221332117,257597,view,355908,\n"
        "1433224214164,992329,addtocart,248676,\n"
        "1433224214165,992329,transaction,248676,4000\n"
        "soon,992329,view,248676,\n"
        "1433224214166,992329,remove,248676,\n"
    ),
    "item_properties_part1.csv": (
        "timestamp,itemid,property,value\n"
        "1435460400000,460429,categoryid,1338\n"
        "1441508400000,206783,888,1116713 960601 n277.200\n"
        "1435460400000,460429,available,0\n"
    ),
    "item_properties_part2.csv": (
        "timestamp,itemid,property,value\n"
        "1435460400001,460429,categoryid,1339\n"
        "1435460399999,460429,available,1\n"
        "1435460399999,7,available,1\n"
        "never,7,available,0\n"
    ),
    "category_tree.csv": "categoryid,parentid\n1016,213\n231,\n5,5\n",
}


class TestKaggle:
    def test_events(self, reading: Any, written: Any) -> None:
        source = retailrocket(written(KAGGLE))
        columns = ("user_id", "item_id", "event", "timestamp", "transaction_id")
        assert reading.rows(source, INTERACTIONS, *columns) == [
            ("257597", "355908", "view", datetime(2015, 6, 2, 5, 2, 12, 117000, UTC), None),
            ("992329", "248676", "cart", datetime(2015, 6, 2, 5, 50, 14, 164000, UTC), None),
            ("992329", "248676", "purchase", datetime(2015, 6, 2, 5, 50, 14, 165000, UTC), "4000"),
        ]
        assert reading.reasons == [
            ("events.csv", 5, "timestamp", "'soon' is not Unix milliseconds"),
            ("events.csv", 6, "event", "'remove' is not one of view, addtocart, transaction"),
        ]

    def test_the_newest_property_counts(self, reading: Any, written: Any) -> None:
        source = retailrocket(written(KAGGLE))
        assert reading.rows(source, ITEMS, "item_id", "available") == [
            ("460429", False),
            ("7", True),
        ]
        assert reading.rows(source, ITEM_CATEGORIES, "item_id", "category_id") == [
            ("460429", "1339")
        ]
        assert reading.reasons == [
            ("item_properties_part2.csv", 5, "timestamp", "'never' is not a whole number")
        ]

    def test_category_tree(self, reading: Any, written: Any) -> None:
        source = retailrocket(written(KAGGLE))
        assert reading.rows(source, CATEGORIES, "category_id", "parent_id", "kind") == [
            ("1016", "213", "category"),
            ("231", None, "category"),
        ]
        assert [(line, column) for _, line, column, _ in reading.reasons] == [(4, "parent_id")]

    def test_events_are_enough(self, written: Any) -> None:
        source = retailrocket(written({"events.csv": KAGGLE["events.csv"]}))
        assert source.specs == (INTERACTIONS,)

    def test_other_files(self, written: Any) -> None:
        with pytest.raises(TableError, match=r"expected events\.csv, or SSLRec's train_mat_view"):
            retailrocket(written({"a.csv": ""}))


def pickled(cells: dict[tuple[int, int], int], shape: tuple[int, int]) -> bytes:
    rows, columns = zip(*cells, strict=True)
    matrix = sparse.csr_matrix((np.array(list(cells.values())), (rows, columns)), shape)
    return pickle.dumps(matrix)


class Runs:
    """Runs a command while it is unpickled, if it is let to."""

    def __init__(self, how: Any, *arguments: object) -> None:
        self.call = how, arguments

    def __reduce__(self) -> Any:
        return self.call


class TestPreparedBySslrec:
    def test_cells(self, reading: Any, written: Any) -> None:
        source = retailrocket(
            written(
                {
                    "train_mat_view.pkl": pickled({(0, 2): 1433221332, (2, 0): 1433221337}, (3, 4)),
                    "train_mat_buy.pkl": pickled({(1, 3): 1433221333}, (3, 4)),
                    "test_mat.pkl": b"is not looked at",
                }
            )
        )
        assert reading.rows(source, INTERACTIONS, "user_id", "item_id", "event", "timestamp") == [
            ("0", "2", "view", datetime(2015, 6, 2, 5, 2, 12, tzinfo=UTC)),
            ("2", "0", "view", datetime(2015, 6, 2, 5, 2, 17, tzinfo=UTC)),
            ("1", "3", "purchase", datetime(2015, 6, 2, 5, 2, 13, tzinfo=UTC)),
        ]
        assert reading.rows(source, USERS, "user_id") == [("0",), ("1",), ("2",)]
        assert reading.table(source, ITEMS).height == 4
        assert "test_mat.pkl is not used" in source.warnings[0]

    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_a_hostile_pickle_runs_nothing(
        self, written: Any, tmp_path: Path, protocol: int
    ) -> None:
        trace = tmp_path / "trace"
        hostile = [
            Runs(os.system, f"touch {trace}"),
            Runs(subprocess.check_call, ["touch", str(trace)]),
            Runs(eval, f"open({str(trace)!r}, 'w')"),
            Runs(Path.touch, trace),
            Runs(np.memmap, str(trace), "uint8", "w+", 0, (8,)),
            Runs(np.save, str(trace), 1),
            Runs(getattr, "", "join"),
        ]
        for each in hostile:
            content = pickle.dumps({"matrix": each}, protocol)
            with pytest.raises(TableError, match=r"train_mat_view\.pkl is not a pickled sparse"):
                retailrocket(written({"train_mat_view.pkl": content}))
        assert not list(tmp_path.glob("trace*"))
        assert pickle.loads(pickle.dumps(hostile[3], protocol)) is None
        assert trace.exists(), "the pickle is not hostile at all"

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"\x80\x04",
            b"no pickle",
            pickle.dumps(1),
            pickle.dumps(np.zeros(3)),
            pickle.dumps(sparse.coo_matrix(np.eye(2))),
            b"cnumpy\nndarray\n(I1000000000000\ntR.",
            b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I99999999999999\ntS'b'\ntR.",
        ],
    )
    def test_other_pickles(self, written: Any, content: bytes) -> None:
        with pytest.raises(TableError, match=r"train_mat_buy\.pkl"):
            retailrocket(written({"train_mat_buy.pkl": content}))

    @pytest.mark.parametrize(
        "attributes",
        [
            {"indices": np.array([0, 9])},
            {"indices": np.array([0, -1])},
            {"indptr": np.array([0, 9, 2])},
            {"indptr": np.array([0, 2])},
            {"data": np.array([1])},
            {"data": np.array([object(), object()])},
            {"data": [1, 2]},
            {"_shape": (2,)},
            {"_shape": None},
        ],
    )
    def test_a_matrix_that_contradicts_itself(
        self, written: Any, attributes: dict[str, object]
    ) -> None:
        matrix = sparse.csr_matrix(np.eye(2))
        matrix.__dict__.update(attributes)
        with pytest.raises(TableError, match=r"train_mat_buy\.pkl"):
            retailrocket(written({"train_mat_buy.pkl": pickle.dumps(matrix)}))


def test_counts_of_the_source(reading: Any, shared_data: Path) -> None:
    source = retailrocket(shared_data / "retailrocket-sslrec")
    events = reading.table(source, INTERACTIONS)
    assert dict(events["event"].value_counts().rows()) == {
        "view": 75_374,
        "cart": 12_456,
        "purchase": 9_551,
    }
    assert events["timestamp"].min().date().isoformat() == "2015-05-03"
    assert events["timestamp"].max().date().isoformat() == "2015-09-18"
    graph = graph_from_tables(source, reading.rejected.append)
    assert (len(graph.users), len(graph.items)) == (2_174, 30_113)
    assert reading.rejected == []
