"""The graph read by Spark, on two executors that are processes of their own."""

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from loaders.errors import TableError
from loaders.extract import extract_graph, extract_to_folder
from loaders.gateway import Neo4jGateway
from loaders.ingest import ingest
from loaders.spark import graph_of_parts
from loaders.tables import FolderTables, graph_from_tables
from loaders.types import Edges, HeteroGraph, IdMap, Interactions
from tests.conftest import CHECKOUT, QUICK, Served
from tests.integration.test_extract import graph as graph  # a fixture
from tests.odd_shop import odd_shop
from tests.statement import statement

REFRESH_OPTIONS = QUICK
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        importlib.util.find_spec("pyspark") is None or shutil.which("mvn") is None,
        reason="no Spark or no Maven: pip install 'recsvc[spark]', apt-get install maven",
    ),
]


# Ranges span 2,000 inside ids or more.
SEVERAL_RANGES = """
    MATCH (item:Item {item_id: 'i1'})
    UNWIND range(1, 5000) AS n
    CREATE (:User {user_id: 'n' + n})-[:INTERACTED {weight: 1.0 / n}]->(item)
"""
UNREADABLE = """
    MATCH (user:User {user_id: 'u3'}), (item:Item {item_id: 'i1'}), (c:Category {category_id: 'c1'})
    CREATE (user)-[:INTERACTED {event: 'odd', weight: 'heavy'}]->(item),
      (user)-[:INTERACTED {event: 3}]->(item), (user)-[:INTERACTED {weight: 1e7}]->(item),
      (user)-[:PREFERS {weight: true}]->(c), (item)-[:IN_CATEGORY {weight: [1.0]}]->(c),
      (user)-[:FOLLOWS]->(user), (user)-[:FOLLOWS]->(:User {name: 'without an id'}),
      (:User {user_id: 7})-[:INTERACTED]->(item), (user)-[:INTERACTED]->(:Item {title: 'none'}),
      (c)-[:SUBCATEGORY_OF]->(:Category), (item)-[:RELATED_TO {kind: 'a', weight: 'x'}]->(item),
      (item)-[:RELATED_TO {kind: 'b'}]->(item)
"""


def digest(graph: HeteroGraph) -> str:
    """Of every array of a graph, its type and its ids."""
    told = hashlib.sha256()

    def add(value: Any) -> None:
        if isinstance(value, np.ndarray):
            told.update(f"{value.dtype} {value.shape}".encode() + value.tobytes())
        elif isinstance(value, IdMap | tuple):
            told.update(json.dumps(list(value)).encode())
        elif isinstance(value, Edges | Interactions):
            for field in fields(value):
                add(getattr(value, field.name))

    for field in fields(graph):
        add(getattr(graph, field.name))
    return told.hexdigest()


@pytest.fixture
def two_executors(tmp_path: Path) -> dict[str, str]:
    """The environment of a process whose Spark has two executors, which have this code too."""
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "spark-defaults.conf").write_text(
        f"spark.master local-cluster[2,1,1024]\nspark.executorEnv.PYTHONPATH {CHECKOUT}\n"
    )
    own = {"SPARK_CONF_DIR": str(tmp_path / "conf"), "SPARK_LOCAL_IP": "127.0.0.1"}
    return {**os.environ, **own, "PYTHONPATH": str(CHECKOUT)}


def run(environment: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        env=environment, capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip


@pytest.fixture
def extract(environment: dict[str, str], two_executors: dict[str, str]) -> Any:
    """Runs `recsvc extract --engine spark`."""

    def extracted(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = ("-m", "recsvc", "extract", "--engine", "spark", "--json", *arguments)
        return run(two_executors | environment, *command)

    return extracted


@pytest.mark.neo4j
def test_the_arrays_are_those_of_one_machine(
    graph: Neo4jGateway, extract: Any, tmp_path: Path
) -> None:
    statement(graph, SEVERAL_RANGES)
    statement(graph, UNREADABLE)
    out = tmp_path / "out"
    told = extract("--out", str(out), "--format", "parquet")
    assert told.returncode == 0, told.stderr
    assert len(list((out / "interactions").glob("*.parquet"))) > 1
    assert digest(graph_of_parts(out)) == digest(extract_graph(graph))
    document = json.loads(told.stdout)
    assert document["nodes"] == {"users": 5_004, "items": 6, "categories": 3}
    assert document["relationships"] == {
        "INTERACTED": 5_005, "FOLLOWS": 2, "PREFERS": 1, "IN_CATEGORY": 2, "SUBCATEGORY_OF": 1,
        "RELATED_TO": 2,
    }  # fmt: skip
    # They are tables too, which add up to six decimals.
    rejected: list[Any] = []
    read, expected = graph_from_tables(FolderTables(out), rejected.append), extract_graph(graph)
    assert read.users == expected.users
    assert read.interactions.events == expected.interactions.events
    np.testing.assert_array_equal(read.interactions.last_at, expected.interactions.last_at)
    np.testing.assert_allclose(read.interactions.weight, expected.interactions.weight, atol=1e-6)
    assert rejected == []


@pytest.mark.neo4j
def test_an_interrupted_run_is_gone_on_with(
    gateway: Neo4jGateway, extract: Any, tmp_path: Path
) -> None:
    """An odd shop, whose interactions a run has not written to their end."""
    shop = odd_shop(tmp_path / "shop", 0)
    ingest(gateway, FolderTables(shop.folder), rejects=tmp_path / "rejects.csv")
    expected, out, parts = extract_graph(gateway), tmp_path / "out", tmp_path / "out.part"
    told = extract("--out", str(out), "--format", "parquet")
    assert told.returncode == 0, told.stderr
    assert digest(graph_of_parts(out)) == digest(expected)

    out.rename(parts)
    (parts / "_SUCCESS").unlink()
    address = gateway.address
    (parts / "_of.json").write_text(json.dumps({"uri": address.shown, "database": None}))
    (parts / "interactions" / "_SUCCESS").unlink()
    (parts / "interactions" / "_temporary").mkdir()
    with pytest.raises(TableError, match="half written"):
        FolderTables(parts)
    before = sorted(path.name for path in parts.glob("*/*.parquet"))
    told = extract("--out", str(out), "--format", "npz")
    assert told.returncode == 0, told.stderr
    assert not parts.exists()
    extract_to_folder(gateway, tmp_path / "bolt")
    spark, bolt = (np.load(path / "graph.npz") for path in (out, tmp_path / "bolt"))
    assert set(spark.files) == set(bolt.files)
    for name in bolt.files:
        assert spark[name].tobytes() == bolt[name].tobytes(), name
    for table in ("users.csv", "items.csv", "categories.csv"):
        assert (out / table).read_bytes() == (tmp_path / "bolt" / table).read_bytes()
    assert before


def columns(path: Path) -> dict[str, list[Any]]:
    return pl.read_parquet(path).to_dict(as_series=False)


@pytest.mark.neo4j
def test_lists_made_by_spark_are_those_of_one_machine(
    served: Served, two_executors: dict[str, str], tmp_path: Path
) -> None:
    environment = two_executors | served.environment
    command = ("-m", "recsvc", "batch-recommend", "--out")
    one, many = tmp_path / "one.parquet", tmp_path / "many.parquet"
    for told in (
        run(environment, *command, str(one)),
        run(environment, *command, str(many), "--engine", "spark"),
    ):
        assert told.returncode == 0, told.stderr
    assert len(columns(one)["score"]) > 100
    assert columns(many) == columns(one)
    assert {path.name for path in tmp_path.iterdir()} == {"conf", "one.parquet", "many.parquet"}


LOSES_ONE = """
import sys, time
from pathlib import Path

import psutil

from loaders.errors import EngineError
from loaders.spark import spark_session
from recsvc.recommend import spark_lists
from recsvc.recommend.batch import batch_evidence, recommend_all
from tests.unit.recommend.test_batch import EVENTS, GRAPH, SNAPSHOT, USERS
from tests.unit.recommend.test_spark_lists import exact

home, shared = Path(sys.argv[1]), Path(sys.argv[2])
lists_of_block = spark_lists._lists


def dying(arrays, k, block):
    try:
        (shared / "killed").touch(exist_ok=False)
    except FileExistsError:
        return lists_of_block(arrays, k, block)
    # The first block of all is in the hands of an executor that is killed.
    next(parent for parent in psutil.Process().parents() if parent.name() == "java").kill()
    time.sleep(600)


spark_lists._lists, spark_lists._USERS_PER_BLOCK = dying, spark_lists.USERS_PER_CHUNK
evidence = batch_evidence(GRAPH, SNAPSHOT, EVENTS, at=1.7e9)
try:
    with spark_session(home, print) as session:
        made = list(spark_lists.lists_on(session, shared)(SNAPSHOT, evidence, USERS, 7))
        session.sparkContext.parallelize([0], 1).map(lambda n: 1 / n).collect()
except EngineError as error:
    print(error)
assert exact(made) == exact(list(recommend_all(SNAPSHOT, evidence, USERS, 7)))
assert (shared / "killed").exists()
print(f"{len(made)} lists")
"""


def test_a_killed_executor_is_survived(two_executors: dict[str, str], tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    told = run(two_executors, "-c", LOSES_ONE, str(tmp_path / "home"), str(shared))
    assert told.returncode == 0, told.stderr
    said, lists = told.stdout.splitlines()[-2:]
    assert said == "Spark could not do it: ZeroDivisionError: division by zero"
    assert lists == "300 lists"
