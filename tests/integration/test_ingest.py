"""Tables into a real Neo4j."""

import gzip
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import polars as pl
import pytest

from loaders.catalogue import Query
from loaders.datasets import open_source
from loaders.extract import extract_graph
from loaders.gateway import Neo4jGateway
from loaders.ingest import IngestReport, ingest
from loaders.local_neo4j import DEFAULT_LINE
from loaders.tables import (
    CATEGORIES,
    FOLLOWS,
    INTERACTIONS,
    ITEM_CATEGORIES,
    ITEMS,
    PREFERENCES,
    USERS,
    FolderTables,
    FrameTables,
    Reject,
    Rejected,
    Tables,
    TableSpec,
    as_table,
    graph_from_tables,
)
from loaders.types import PropertyNames
from tests.conftest import on_later_lines_long
from tests.integration.conftest import RELATIONSHIPS

pytestmark = pytest.mark.neo4j

HOSTILE_IDS = [
    "'; MATCH (n) DETACH DELETE n //",
    '"quoted"',
    "`ticks`",
    "back\\slash",
    "$rows",
    "two\nlines",
    "nul\0inside",
    " leading and trailing ",
    "😀👩‍👩‍👧",
    "\u202eright to left\u202c",
    "e\u0301",
    "é",
    "a/b",
    "a%2Fb",
    "nullable",
    "x" * 512,
    "😀" * 512,
]
Links = Callable[[str], dict[tuple[Any, ...], dict[str, Any]]]
DAY = datetime(2020, 1, 1, tzinfo=UTC)

NODES = Query(
    "test/nodes",
    "All nodes.",
    "read",
    {},
    {},
    "MATCH (n) RETURN labels(n) AS labels, collect(properties(n)) AS all",
)
EMPTY = Query("test/empty", "Empties the graph.", "write", {}, {}, "MATCH (n) DETACH DELETE n")


class CutTables(FrameTables):
    """Tables held in memory, in batches of another size."""

    def __init__(self, frames: Mapping[TableSpec, pl.DataFrame], batch_rows: int) -> None:
        super().__init__(frames)
        self._all, self._batch_rows = frames, batch_rows

    def batches(self, spec: TableSpec, reject: Reject) -> Iterator[pl.DataFrame]:
        return self._all[spec].iter_slices(self._batch_rows)


def no_reject(rejected: Rejected) -> None:
    raise AssertionError(str(rejected))


def state(gateway: Neo4jGateway) -> list[str]:
    """Everything in the graph, one sorted text per node and relationship."""
    nodes = [
        f"{row['labels']} {sorted(node.items(), key=str)}"
        for row in gateway.run(NODES)
        for node in row["all"]
    ]
    links = [
        f"{row['type']} {start!r} {end!r} {sorted(link.items(), key=str)}"
        for row in gateway.run(RELATIONSHIPS)
        for start, end, link in row["all"]
    ]
    return sorted(nodes) + sorted(links)


def fingerprint(gateway: Neo4jGateway) -> str:
    return hashlib.sha256("\n".join(state(gateway)).encode()).hexdigest()


def load(gateway: Neo4jGateway, source: Tables, folder: Path) -> IngestReport:
    return ingest(gateway, source, rejects=folder / "rejects.csv")


def write(folder: Path, **tables: str) -> FolderTables:
    folder.mkdir(exist_ok=True)
    tables = {"interactions": "user_id,item_id\n"} | tables
    for name, text in tables.items():
        (folder / f"{name}.csv").write_text(text, encoding="utf-8", newline="")
    return FolderTables(folder)


SMALL = {
    "interactions": "user_id,item_id,event,value,timestamp,event_id\n"
    "u,i,view,0.1,2020-01-01,\nu,i,view,0.2,2020-01-03,\nu,i,view,,2020-01-02T01:00+01:00,\n"
    "u,i,buy,20,,e1\nu,i,buy,30,,e2\nu,i,buy,20,,e1\nv,j,,,,\nw,j,,,,\n",
    "items": "item_id,title,created_at,available,price\n"
    "i,One,2019-05-05T12:00:00Z,true,9.99\nj,Two,,,\nk,,,false,\n",
    "users": "user_id,name,city\nu,Ute,Ulm\nx,,\n",
    "categories": "category_id,name,kind,parent_id\nrock,Rock,genre,music\nfolk,Folk,genre,music\n",
    "item_categories": "item_id,category_id,weight\ni,rock,2.5\ni,jazz,\n",
    "preferences": "user_id,category_id\nu,rock\n",
    "follows": "follower_id,followee_id,since\nu,v,2018-01-01\nu,y,\nu,v,\n",
}


class TestGraphOfTheContract:
    @pytest.fixture
    def loaded(self, gateway: Neo4jGateway, tmp_path: Path) -> Neo4jGateway:
        load(gateway, write(tmp_path / "data", **SMALL), tmp_path)
        return gateway

    def test_nodes(self, loaded: Neo4jGateway) -> None:
        by_label = {row["labels"][0]: row["all"] for row in loaded.run(NODES)}
        users = {node.pop("user_id"): node for node in by_label["User"]}
        items = {node.pop("item_id"): node for node in by_label["Item"]}
        categories = {node.pop("category_id"): node for node in by_label["Category"]}
        assert users == {"u": {"name": "Ute", "city": "Ulm"}} | {name: {} for name in "vwxy"}
        created = items["i"].pop("created_at").to_native()
        assert created == datetime(2019, 5, 5, 12, tzinfo=UTC)
        assert items == {
            "i": {"title": "One", "available": True, "price": "9.99"},
            "j": {"title": "Two"},
            "k": {"available": False},
        }
        assert categories == {
            "rock": {"name": "Rock", "kind": "genre"},
            "folk": {"name": "Folk", "kind": "genre"},
            "music": {},
            "jazz": {},
        }
        assert {node["event_id"] for node in by_label["Event"]} == {"e1", "e2"}

    def test_interactions(self, loaded: Neo4jGateway, relationships: Links) -> None:
        interactions = relationships("INTERACTED")
        view = interactions["u", "i", "view"]
        times = {name: view.pop(name) for name in ("first_at", "last_at")}
        assert {name: time.iso_format() for name, time in times.items()} == {
            "first_at": "2020-01-01T00:00:00.000000000+00:00",
            "last_at": "2020-01-03T00:00:00.000000000+00:00",
        }
        assert view == {"event": "view", "count": 3, "weight": 1.3, "value": 0.2}
        assert interactions["u", "i", "buy"] == {
            "event": "buy",
            "count": 2,
            "weight": 50.0,
            "value": 30.0,
            "ledger_count": 2,
            "ledger_weight": 50.0,
        }
        plain = {"event": "interaction", "count": 1, "weight": 1.0}
        assert (
            interactions["v", "j", "interaction"] == interactions["w", "j", "interaction"] == plain
        )
        assert len(interactions) == 4

    def test_links(self, loaded: Neo4jGateway, relationships: Links) -> None:
        follows = relationships("FOLLOWS")
        assert follows.keys() == {("u", "v"), ("u", "y")}
        assert follows["u", "v"]["since"].to_native() == datetime(2018, 1, 1, tzinfo=UTC)
        assert follows["u", "y"] == {}
        assert relationships("PREFERS") == {("u", "rock"): {"weight": 1.0}}
        assert relationships("IN_CATEGORY") == {
            ("i", "rock"): {"weight": 2.5},
            ("i", "jazz"): {"weight": 1.0},
        }
        assert relationships("SUBCATEGORY_OF") == {
            ("rock", "music"): {},
            ("folk", "music"): {},
        }

    def test_the_second_time_changes_nothing(self, loaded: Neo4jGateway, tmp_path: Path) -> None:
        before = state(loaded)
        load(loaded, FolderTables(tmp_path / "data"), tmp_path)
        assert state(loaded) == before

    def test_a_missing_cell_leaves_what_is_stored(
        self, loaded: Neo4jGateway, tmp_path: Path
    ) -> None:
        before = state(loaded)
        later = write(
            tmp_path / "later",
            items="item_id,title,price\ni,,\n",
            users="user_id,name\nu,\n",
            follows="follower_id,followee_id\nu,v\n",
        )
        load(loaded, later, tmp_path)
        assert state(loaded) == before

    def test_graph_from_tables_has_the_same_arrays(
        self, loaded: Neo4jGateway, tmp_path: Path, relationships: Links
    ) -> None:
        graph = graph_from_tables(FolderTables(tmp_path / "data"), no_reject)
        interactions = relationships("INTERACTED")
        assert list(graph.users) == sorted({*"uvwxy"})
        assert list(graph.items) == sorted({*"ijk"})
        assert list(graph.categories) == sorted(["rock", "folk", "music", "jazz"])
        edges = graph.interactions
        assert list(
            zip(
                (graph.users[row] for row in edges.user_index.tolist()),
                (graph.items[row] for row in edges.item_index.tolist()),
                (edges.events[row] for row in edges.event_index.tolist()),
                strict=True,
            )
        ) == sorted(interactions)
        assert edges.weight.tolist() == pytest.approx(
            [interactions[k]["weight"] for k in sorted(interactions)]
        )
        times = [interactions[key].get("last_at") for key in sorted(interactions)]
        seconds = [time.to_native().timestamp() if time else float("nan") for time in times]
        assert edges.last_at.tolist() == pytest.approx(seconds, nan_ok=True)
        for kind, links, sources, targets in (
            ("FOLLOWS", graph.follows, graph.users, graph.users),
            ("PREFERS", graph.prefers, graph.users, graph.categories),
            ("IN_CATEGORY", graph.in_category, graph.items, graph.categories),
            ("SUBCATEGORY_OF", graph.subcategory_of, graph.categories, graph.categories),
        ):
            stored = relationships(kind)
            rows = zip(links.source.tolist(), links.target.tolist(), strict=True)
            assert [(sources[a], targets[b]) for a, b in rows] == sorted(stored)
            weights = [stored[key].get("weight", 1.0) for key in sorted(stored)]
            assert links.weight.tolist() == weights

    def test_properties_from_tables_are_those_of_the_graph(
        self, gateway: Neo4jGateway, tmp_path: Path
    ) -> None:
        """Of several rows the newest says them; an empty cell takes nothing away."""
        source = write(
            tmp_path / "rated",
            interactions="user_id,item_id,event,value,timestamp,votes,verified\n"
            "u,i,rating,4,2020-01-02,3,true\nu,i,rating,5,2020-01-01,9,false\n"
            "u,j,rating,1,2020-01-01,,\nv,j,rating,1,2020-01-01,0,false\n",
            items="item_id,price,brand\ni,9.99,Acme\nj,,\ni,,Acme\n",
        )
        load(gateway, source, tmp_path)
        names = PropertyNames(("votes", "verified", "none"), ("price", "brand"))
        read = extract_graph(gateway, properties=names)
        made = graph_from_tables(source, no_reject, names)
        for one, other in (
            (read.interactions.properties, made.interactions.properties),
            (read.item_properties, made.item_properties),
        ):
            assert list(one) == list(other)
            for name in one:
                np.testing.assert_array_equal(one[name], other[name])
        assert read.interactions.properties["votes"][0] == 3
        np.testing.assert_allclose(read.item_properties["price"][:, 0], [9.99, np.nan])


@on_later_lines_long
class TestSameResult:
    def frames(self) -> dict[TableSpec, pl.DataFrame]:
        random = Random(7)
        users, items = ([f"{kind}{n}" for n in range(40)] for kind in "ui")
        rows = [
            (
                random.choice(users),
                random.choice(items),
                random.choice(["view", "buy"]),
                random.choice([None, 0.1, 0.7, 3.3]),
                random.choice([None, DAY + timedelta(seconds=random.randrange(10**7))]),
                random.choice([None, f"e{n}"]),
            )
            for n in range(1_200)
        ]
        pairs = sorted({(a, b) for a, b in zip(users, reversed(users), strict=True) if a != b})
        raw = {
            INTERACTIONS: pl.DataFrame(rows, INTERACTIONS.names, orient="row"),
            FOLLOWS: pl.DataFrame(pairs, ["follower_id", "followee_id"], orient="row"),
            ITEMS: pl.DataFrame({"item_id": items, "price": range(40)}),
            USERS: pl.DataFrame({"user_id": users}),
            CATEGORIES: pl.DataFrame({"category_id": ["c", "d"], "parent_id": ["top", "top"]}),
            ITEM_CATEGORIES: pl.DataFrame({"item_id": items, "category_id": ["c", "d"] * 20}),
            PREFERENCES: pl.DataFrame({"user_id": users, "category_id": ["c", "d"] * 20}),
        }
        return {spec: as_table(spec, frame) for spec, frame in raw.items()}

    def test_rows_shuffled_and_batches_cut_differently(
        self, gateway: Neo4jGateway, tmp_path: Path
    ) -> None:
        frames = self.frames()
        load(gateway, FrameTables(frames), tmp_path)
        before = fingerprint(gateway)
        mixed = {spec: frame.sample(fraction=1, shuffle=True) for spec, frame in frames.items()}
        load(gateway, CutTables(mixed, batch_rows=23), tmp_path)
        assert fingerprint(gateway) == before
        gateway.run(EMPTY)
        load(gateway, CutTables(mixed, batch_rows=301), tmp_path)
        assert fingerprint(gateway) == before

    def test_an_interrupted_load_is_completed_by_the_next(
        self, gateway: Neo4jGateway, tmp_path: Path
    ) -> None:
        frames = self.frames()

        def interrupt(what: str, done: int, total: int | None) -> None:
            if what == "interactions: reading" and done >= 600:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            ingest(
                gateway,
                CutTables(frames, batch_rows=200),
                rejects=tmp_path / "rejects.csv",
                progress=interrupt,
            )
        load(gateway, FrameTables(frames), tmp_path)
        resumed = fingerprint(gateway)
        gateway.run(EMPTY)
        load(gateway, FrameTables(frames), tmp_path)
        assert fingerprint(gateway) == resumed


def test_of_two_rows_of_a_link_the_later_stands(
    gateway: Neo4jGateway, tmp_path: Path, relationships: Links
) -> None:
    (tmp_path / "interactions.csv").write_text("user_id,item_id\n")
    (tmp_path / "item_categories.csv").write_text(
        "item_id,category_id,weight\ni,c,2\ni,c,1\ni,c,\n"
    )
    ingest(gateway, FolderTables(tmp_path), rejects=tmp_path / "rejects.csv")
    assert relationships("IN_CATEGORY")["i", "c"] == {"weight": 1.0}


def test_hostile_ids(gateway: Neo4jGateway, tmp_path: Path, relationships: Links) -> None:
    ids = HOSTILE_IDS
    others = [*ids[1:], ids[0]]
    raw = {
        INTERACTIONS: {
            "user_id": ids,
            "item_id": ids,
            "event": [i[:100] for i in ids],
            "event_id": ids,
        },
        FOLLOWS: {"follower_id": ids, "followee_id": others},
        ITEMS: {"item_id": ids, "title": ids, "a`b": ids},
        CATEGORIES: {"category_id": ids, "parent_id": others},
        ITEM_CATEGORIES: {"item_id": ids, "category_id": ids},
        PREFERENCES: {"user_id": ids, "category_id": ids},
    }
    source = FrameTables({s: as_table(s, pl.DataFrame(frame)) for s, frame in raw.items()})
    load(gateway, source, tmp_path)
    before = state(gateway)
    load(gateway, source, tmp_path)
    assert state(gateway) == before
    assert relationships("INTERACTED").keys() == {(i, i, i[:100]) for i in ids}
    assert relationships("FOLLOWS").keys() == set(zip(ids, others, strict=True))
    assert relationships("SUBCATEGORY_OF").keys() == set(zip(ids, others, strict=True))
    items = next(row["all"] for row in gateway.run(NODES) if row["labels"] == ["Item"])
    assert {(item["item_id"], item["title"], item["a`b"]) for item in items} == {
        (i, i, i) for i in ids
    }


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("neo4j_line", [DEFAULT_LINE], indirect=True, scope="session")
def test_lastfm(gateway: Neo4jGateway, tmp_path: Path, relationships: Links) -> None:
    report = load(gateway, open_source("lastfm"), tmp_path)
    assert {name: table.written for name, table in report.tables.items()} == {
        "items": 18_022,
        "users": 1_892,
        "categories": 9_749,
        "item_categories": 109_750,
        "follows": 25_434,
        "interactions": 92_834,
    }
    counts = {row["labels"][0]: len(row["all"]) for row in gateway.run(NODES)}
    assert counts == {"User": 1_892, "Item": 18_022, "Category": 9_749}
    assert len(relationships("FOLLOWS")) == 2 * 12_717
    taggings = relationships("IN_CATEGORY")
    assert sum(link["weight"] for link in taggings.values()) == 186_479
    listens = relationships("INTERACTED")
    assert len(listens) == 92_834
    assert listens["2", "51", "listen"] == {
        "event": "listen",
        "count": 1,
        "weight": 13_883.0,
        "value": 13_883.0,
    }
    before = fingerprint(gateway)
    load(gateway, open_source("lastfm"), tmp_path)
    assert fingerprint(gateway) == before


@pytest.mark.long
@pytest.mark.parametrize("options", [[], ["--dry-run"]], ids=["ingest", "events checked"])
def test_memory_hardly_grows_with_a_compressed_table(
    gateway: Neo4jGateway, environment: Mapping[str, str], tmp_path: Path, options: list[str]
) -> None:
    """Of events that have an id each, and of others that add up to few interactions."""

    def peak(rows: int) -> int:
        folder = tmp_path / str(rows)
        folder.mkdir()
        with gzip.open(folder / "interactions.csv.gz", "wt", compresslevel=1) as file:
            file.write("user_id,item_id,event_id\n")
            for n in range(rows):
                event_id = f"an-event-of-some-shop-{n}" if options else ""
                file.write(f"u{n % 300},i{n % 199},{event_id}\n")
        command = [sys.executable, "-m", "recsvc", "ingest", str(folder), *options]
        process = subprocess.Popen(command, env={**os.environ, **environment})
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        return used.ru_maxrss // 1024

    assert peak(6_000_000) - peak(2_000_000) < 100, "MiB more for four million rows more"
