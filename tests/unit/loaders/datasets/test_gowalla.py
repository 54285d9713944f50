from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from loaders.datasets.gowalla import gowalla
from loaders.errors import TableError
from loaders.tables import (
    CATEGORIES,
    FOLLOWS,
    INTERACTIONS,
    ITEM_CATEGORIES,
    ITEMS,
    USERS,
    graph_from_tables,
)

SNAP = {
    "loc-gowalla_totalCheckins.txt": (
        "0\t2010-10-19T23:55:27Z\t30.2359091167\t-97.7951395833\t22847\n"
        "0\t2010-10-18T22:17:43Z\t30.2691\t-97.7493\t420315\n"
        "5\t2010-10-18T22:17:44Z\t30.2359091167\t-97.7951395833\t22847\n"
        "5\tyesterday\t30.2\t-97.7\t22847\n"
        "5\t2010-10-18T22:17:44Z\tnorth\t-97.7\t22847\n"
        "5\t2010-10-18T22:17:45Z\t30.2\t-97.7\t\n"
    ),
    "loc-gowalla_edges.txt": "0\t5\n5\t0\n0\t9\n7\t7\n",
}
LIGHT_GCN = {
    "train.txt": "0 0 1 2\n1 2 \n2\n\n3 0\n",
    "test.txt": "0 3\n",
    "user_list.txt": "org_id remap_id\n343 0\n5258 1\n",
    "item_list.txt": "org_id remap_id\n8975 0\n9190 1\n",
}
SEP_GCN = {
    "train.txt": "0 80 6 80\n1 6\n2 6 80\n",
    "time_train.txt": "0 1274478544 1274865416 1274981992\n1 1274478545\n2 1274478546\n",
    "test.txt": "0 6\n",
    "time_test.txt": "0 1274478599\n",
    "user_list.txt": "343 0\n5 1\n",
    "item_list.txt": "22847 80\n420315 6\n",
    "cat.txt": "80 82\n6 82\n",
    "location.txt": "80 30.25 -97.75\n",
}


class TestMadeFiles:
    def test_snap(self, reading: Any, written: Any) -> None:
        source = gowalla(written(SNAP))
        assert reading.rows(source, INTERACTIONS, "user_id", "item_id", "event", "timestamp") == [
            ("0", "22847", "checkin", datetime(2010, 10, 19, 23, 55, 27, tzinfo=UTC)),
            ("0", "420315", "checkin", datetime(2010, 10, 18, 22, 17, 43, tzinfo=UTC)),
            ("5", "22847", "checkin", datetime(2010, 10, 18, 22, 17, 44, tzinfo=UTC)),
        ]
        assert [(line, column) for _, line, column, _ in reading.reasons] == [
            (4, "timestamp"),
            (5, "latitude"),
            (6, "item_id"),
        ]
        assert reading.rows(source, ITEMS, "item_id", "latitude", "longitude")[:2] == [
            ("22847", 30.2359091167, -97.7951395833),
            ("420315", 30.2691, -97.7493),
        ]

    def test_friends_follow_each_other(self, reading: Any, written: Any) -> None:
        follows = reading.rows(gowalla(written(SNAP)), FOLLOWS, "follower_id", "followee_id")
        assert sorted(follows) == [("0", "5"), ("0", "9"), ("5", "0"), ("9", "0")]
        assert reading.reasons == [
            (
                "loc-gowalla_edges.txt",
                4,
                "followee_id",
                "'7' is the follower_id too: expected another id",
            )
        ]

    def test_light_gcn(self, reading: Any, written: Any) -> None:
        source = gowalla(written(LIGHT_GCN))
        assert reading.rows(source, INTERACTIONS, "user_id", "item_id", "event") == [
            ("0", "0", "checkin"),
            ("0", "1", "checkin"),
            ("0", "2", "checkin"),
            ("1", "2", "checkin"),
            ("3", "0", "checkin"),
        ]
        assert reading.rows(source, USERS, "user_id", "org_id") == [("0", "343"), ("1", "5258")]
        assert reading.rows(source, ITEMS, "item_id", "org_id") == [("0", "8975"), ("1", "9190")]
        assert reading.rejected == []
        assert [warning[:20] for warning in source.warnings] == ["test.txt is not used"]

    def test_friends_get_the_ids_of_light_gcn(self, reading: Any, written: Any) -> None:
        edges = {"Gowalla_edges.txt": "5258\t343\n343\t77\n"}
        follows = gowalla(written(LIGHT_GCN | edges))
        assert sorted(reading.rows(follows, FOLLOWS, "follower_id", "followee_id", "since")) == [
            ("0", "1", None),
            ("1", "0", None),
        ]

    def test_sep_gcn(self, reading: Any, written: Any) -> None:
        source = gowalla(written(SEP_GCN))
        assert reading.rows(source, INTERACTIONS, "user_id", "item_id", "timestamp") == [
            ("0", "80", datetime(2010, 5, 21, 21, 49, 4, tzinfo=UTC)),
            ("0", "6", datetime(2010, 5, 26, 9, 16, 56, tzinfo=UTC)),
            ("0", "80", datetime(2010, 5, 27, 17, 39, 52, tzinfo=UTC)),
            ("1", "6", datetime(2010, 5, 21, 21, 49, 5, tzinfo=UTC)),
        ]
        assert [(file, line) for file, line, _, _ in reading.reasons] == [("train.txt", 3)]
        assert "'2' with 2 items, beside user '2' with 1 times" in reading.rejected[0].reason
        assert reading.rows(source, ITEMS, "item_id", "org_id", "latitude", "longitude") == [
            ("80", "22847", 30.25, -97.75),
            ("6", "420315", None, None),
        ]
        assert reading.rows(source, USERS, "user_id", "org_id") == [("0", "343"), ("1", "5")]
        assert reading.rows(source, CATEGORIES, "category_id", "kind") == [("82", "spot")]
        assert reading.rows(source, ITEM_CATEGORIES, "item_id", "category_id") == [
            ("80", "82"),
            ("6", "82"),
        ]

    def test_friends_alone(self, reading: Any, written: Any) -> None:
        source = gowalla(written({"Gowalla_edges.txt": "1\t2\n"}))
        assert [spec.name for spec in source.specs] == ["follows"]
        assert source.warnings == ("there are friendships only: no file of check-ins",)

    def test_other_files(self, written: Any) -> None:
        with pytest.raises(TableError, match=r"holds a\.csv: expected one of train\.txt"):
            gowalla(written({"a.csv": ""}))


@pytest.mark.long
class TestCountsOfTheSource:
    def test_light_gcn(self, reading: Any, shared_data: Path) -> None:
        source = gowalla(shared_data / "lightgcn-gowalla")
        pairs = reading.table(source, INTERACTIONS)
        assert pairs.height == pairs.select("user_id", "item_id").n_unique() == 810_128
        assert reading.table(source, USERS).height == 29_858
        assert reading.table(source, ITEMS).height == 40_981
        graph = graph_from_tables(source, reading.rejected.append)
        assert (len(graph.users), len(graph.items)) == (29_858, 40_981)
        assert reading.rejected == []

    def test_snap_friends(self, reading: Any, shared_data: Path) -> None:
        follows = reading.table(gowalla(shared_data / "gowalla-friends-partial"), FOLLOWS)
        assert follows.height == 2 * 282_617
        assert follows["follower_id"].n_unique() == 76_917
        assert reading.rejected == []

    @pytest.mark.parametrize(
        ("name", "pairs", "users"),
        [("lightgcn-gowalla", 69_317, 15_147), ("sepgcn-gowalla", 22_642, 4_930)],
    )
    def test_friends_join_on_the_ids_of_snap(
        self, reading: Any, together: Any, name: str, pairs: int, users: int
    ) -> None:
        follows = reading.table(gowalla(together(name, "gowalla-friends-partial")), FOLLOWS)
        assert follows.height == 2 * pairs
        assert follows["follower_id"].n_unique() == users

    def test_sep_gcn(self, reading: Any, shared_data: Path) -> None:
        source = gowalla(shared_data / "sepgcn-gowalla")
        counts = {spec.name: reading.table(source, spec).height for spec in source.specs}
        assert counts == {
            "items": 13_812,
            "users": 8_685,
            "categories": 100,
            "item_categories": 13_797,
            "interactions": 351_217,
        }
        times = reading.table(source, INTERACTIONS)["timestamp"]
        assert times.null_count() == 0
        assert times.dt.strftime("%Y-%m").sort().gather([0, -1]).to_list() == ["2009-03", "2010-10"]
        items = reading.table(source, ITEMS)
        assert items.select(pl.col("latitude", "longitude").null_count()).row(0) == (0, 0)
        assert reading.rejected == []
