"""What of reading with Spark needs no Spark: its parts as arrays, ranges, what is missing."""

import itertools
import sys
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loaders.errors import EngineError, TableError
from loaders.gateway import Neo4jAddress
from loaders.local_neo4j._command import run_command
from loaders.spark import _session, graph_of_parts, spark_session
from loaders.spark._tables import _claim, cuts
from loaders.tables import FolderTables
from tests.unit.loaders.local_neo4j.helpers import make_java, write_program

ADDRESS = Neo4jAddress("bolt://127.0.0.1:7687", "neo4j", "secret")
MILLIS = 1_577_923_200_123


def write(folder: Path, name: str, *parts: dict[str, list[object]]) -> None:
    (folder / name).mkdir(parents=True)
    for number, columns in enumerate(parts):
        frame = pl.DataFrame(columns, schema_overrides=TYPES)
        frame.write_parquet(folder / name / f"part-{number:05}.snappy.parquet")
    (folder / name / "_SUCCESS").touch()


TYPES = {"value": pl.Float64, "weight": pl.Float64, "timestamp": pl.Datetime("us", "UTC"),
         "parent_id": pl.String}  # fmt: skip


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """A graph in parts, whose rows are in no order and whose ids are not those of code points."""
    at = datetime.fromtimestamp(MILLIS / 1000, UTC)
    write(tmp_path, "users", {"user_id": ["😀", "u2"]}, {"user_id": ["\uff21"]})
    write(tmp_path, "items", {"item_id": ["i2", "i1"]})
    write(tmp_path, "categories", {"category_id": ["c2", "c1"], "parent_id": [None, "c2"]})
    write(
        tmp_path, "interactions",
        {"user_id": ["😀", "u2"], "item_id": ["i2", "i1"], "event": ["view", "view"],
         "value": [2.0, 0.1234567890123], "timestamp": [None, at]},
        {"user_id": ["😀", "gone"], "item_id": ["i2", "i1"], "event": ["buy", "odd"],
         "value": [1.0, 1.0], "timestamp": [at, at]},
    )  # fmt: skip
    write(tmp_path, "follows", {"follower_id": ["😀", "u2"], "followee_id": ["u2", "gone"]})
    write(tmp_path, "preferences", {"user_id": ["u2"], "category_id": ["c2"], "weight": [0.5]})
    write(tmp_path, "item_categories", {"item_id": ["i1"], "category_id": ["c1"], "weight": [3.0]})
    write(tmp_path, "related_items", {"item_id": [], "related_id": [], "weight": []})
    return tmp_path


def test_parts_are_the_arrays_of_their_graph(parts: Path) -> None:
    graph = graph_of_parts(parts)
    assert list(graph.users) == ["u2", "\uff21", "😀"]
    did = graph.interactions
    assert did.events == ("buy", "view")  # nobody is left who did "odd"
    columns = (did.user_index, did.item_index, did.event_index, did.weight)
    assert list(zip(*(column.tolist() for column in columns), strict=True)) == [
        (0, 0, 1, 0.1234567890123), (2, 1, 0, 1.0), (2, 1, 1, 2.0)
    ]  # fmt: skip
    assert did.last_at[:2].tolist() == [MILLIS / 1000, MILLIS / 1000]
    assert did.last_at[2] != did.last_at[2]
    assert (graph.follows.source.tolist(), graph.follows.target.tolist()) == ([2], [0])
    assert graph.prefers.weight.tolist() == [0.5]
    assert graph.in_category.target.tolist() == [0]
    assert (graph.subcategory_of.source[0], graph.subcategory_of.target[0]) == (0, 1)
    assert len(graph.related_to) == 0


def test_a_table_that_spark_has_not_written_to_its_end_is_not_read(parts: Path) -> None:
    FolderTables(parts)
    (parts / "follows" / "_temporary").mkdir()
    with pytest.raises(TableError, match=r"follows is half written.*run it again"):
        FolderTables(parts)


def test_parts_of_another_database_are_not_gone_on_with(parts: Path) -> None:
    _claim(parts, ADDRESS)
    assert [path.name for path in parts.iterdir()] == ["_of.json"]
    assert "secret" not in (parts / "_of.json").read_text()
    write(parts, "users", {"user_id": ["u"]})
    _claim(parts, ADDRESS)
    assert (parts / "users" / "_SUCCESS").exists()
    _claim(parts, Neo4jAddress("bolt://127.0.0.1:7687", "neo4j", "secret", "other"))
    assert not (parts / "users").exists()


@given(st.integers(0, 10**9), st.integers(0, 10**6), st.integers(1, 64))
def test_each_id_is_in_one_range(low: int, length: int, most: int) -> None:
    ranges = list(cuts(low, low + length, most))
    assert 1 <= len(ranges) <= most
    assert (ranges[0][0], ranges[-1][1]) == (low, low + length)
    assert all(one[1] == other[0] for one, other in itertools.pairwise(ranges))
    assert len(ranges) == 1 or all(stop - start >= 1_000 for start, stop in ranges)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """PATH holds only this folder, and there is no other Java; Spark counts as installed."""
    monkeypatch.setenv("PATH", str(tmp_path / "programs"))
    monkeypatch.setenv("JAVA_HOME", str(make_java(tmp_path / "jdk", "17", "").parents[1]))
    monkeypatch.setattr(_session, "find_java", lambda least, run: _find(least, run, tmp_path))
    monkeypatch.setitem(sys.modules, "pyspark.sql", sys)
    return tmp_path / "programs"


_find_java = _session.find_java


def _find(least: int, run: object, tmp_path: Path) -> object:
    return _find_java(least, run, tmp_path / "none")  # pyright: ignore[reportArgumentType]


def starting(home: Path) -> None:
    with spark_session(home, lambda _: None):
        pytest.fail("it started")


def test_what_is_missing_is_named_with_what_installs_it(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(EngineError, match="apt-get install maven"):
        starting(tmp_path)
    monkeypatch.delenv("JAVA_HOME")
    with pytest.raises(EngineError, match=r"Spark needs Java 17 .*apt-get install openjdk-17"):
        starting(tmp_path)
    monkeypatch.setitem(sys.modules, "pyspark.sql", None)
    with pytest.raises(EngineError, match=r"pip install 'recsvc\[spark\]'"):
        starting(tmp_path)


def test_the_connector_is_brought_once_and_whole(programs: Path, tmp_path: Path) -> None:
    write_program(programs / "mvn", 'echo "[ERROR] no such artifact"; exit 1')
    with pytest.raises(EngineError, match=r"exit code 1[\s\S]*no such artifact"):
        starting(tmp_path)
    assert list((tmp_path / "spark").iterdir()) == []
    copy = 'case "$word" in -DoutputDirectory=*) : >"${word#*=}/connector.jar" ;; esac'
    write_program(programs / "mvn", f'for word in "$@"; do {copy}; done')
    told: list[str] = []
    for _ in range(2):
        (jar,) = _session._connector(tmp_path / "spark", tmp_path / "jdk", run_command, told.append)
    assert jar.name == "connector.jar"
    assert len(told) == 1
