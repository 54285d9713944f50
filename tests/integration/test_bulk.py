"""`ingest --bulk` with the real importer: the same graph as online, whatever cuts it off."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random

import polars as pl
import pytest

from loaders.catalogue import Query, catalogue
from loaders.errors import LocalNeo4jError, RejectedRowsError
from loaders.gateway import Neo4jGateway
from loaders.ingest import IngestReport, ingest
from loaders.ingest.bulk import bulk_ingest
from loaders.local_neo4j import DEFAULT_LINE, LocalNeo4j, LocalNeo4jOptions, neo4j_versions
from loaders.local_neo4j._command import NOT_FOUND, CommandResult, run_command
from loaders.shared_files import checkout_root
from loaders.tables import (
    CATEGORIES,
    FOLLOWS,
    INTERACTIONS,
    ITEM_CATEGORIES,
    ITEMS,
    PREFERENCES,
    RELATED_ITEMS,
    TABLES,
    USERS,
    FolderTables,
    Reject,
    Tables,
    TableSpec,
    as_table,
)
from tests.graph_hash import graph_hash
from tests.ports import free_ports

pytestmark = [pytest.mark.neo4j, pytest.mark.slow]
on_default_line = pytest.mark.parametrize(
    "neo4j_line", [DEFAULT_LINE], indirect=True, scope="session"
)

HOSTILE = [
    "'; MATCH (n) DETACH DELETE n //", '"quoted"', '"', "`ticks`", "back\\slash\\", "two\nlines",
    "cr\ralone", "cr\r\nlf", "nul\0inside", " leading and trailing ", "😀👩‍👩‍👧",
    "\u202eright to left\u202c", "e\u0301", "é", "a/b", "a%2Fb", "nul", "a,b;c\td", "\ufeffmark",
    "\x1f\x1e\x85\u2028", "x" * 512, "😀" * 512, "0042", "1e5", "true",
]  # fmt: skip
DAY = datetime(2020, 1, 1, tzinfo=UTC)


class Batches:
    """Tables held in memory, whose batches may differ in their columns, as those of files may."""

    warnings = ()

    def __init__(self, batches: Mapping[TableSpec, Sequence[pl.DataFrame]]) -> None:
        self._batches = {
            spec: [as_table(spec, frame) for frame in frames] for spec, frames in batches.items()
        }

    @property
    def specs(self) -> Sequence[TableSpec]:
        return tuple(spec for spec in TABLES if spec in self._batches)

    def row_count(self, spec: TableSpec) -> int | None:
        return sum(frame.height for frame in self._batches[spec])

    def batches(self, spec: TableSpec, reject: Reject) -> Iterator[pl.DataFrame]:
        yield from self._batches[spec]


def everything() -> Batches:
    """Every table, every type of property, and all that CSV finds hard."""
    random = Random(7)
    users, items = ([f"{kind}{n}" for n in range(60)] + HOSTILE for kind in "ui")
    names = [*INTERACTIONS.names, "note", "marks"]
    # Of events as old as each other, which is the newest is for the graph to say: no two are.
    rows = [
        (
            random.choice(users),
            random.choice(items),
            random.choice(["view", 'b"u,\ny', None]),
            random.choice([None, 0.1, 0.7, 3.3, -1.0]),
            DAY + timedelta(seconds=n if has_id else random.randrange(9)),
            f"e{n % 900}" if has_id else None,
            random.choice([None, "a", "\n", ""]),
            random.choice([None, [1, 2], []]),
        )
        for has_id in (True, False)
        for n in random.sample(range(2_000), 2_000)
    ]
    rows += [("u0", "i0", None, None, None, event_id, None, None) for event_id in ("y", None)]
    interactions = pl.DataFrame(rows, names, orient="row", infer_schema_length=None)
    several = pl.DataFrame(
        {
            "item_id": items,
            "title": [*HOSTILE, *["", None] * 30],
            "created_at": [
                datetime(1970, 1, 2, 3, 4, 5, 6, UTC),
                datetime(2026, 1, 1, tzinfo=UTC),
                *[None] * 83,
            ],
            "available": [True, False, None, True, False] * 17,
            "whole": [2**63 - 1, -(2**63), *range(83)],
            "real": [
                float("nan"),
                1e300,
                -1e300,
                -0.0,
                5e-324,
                1.7976931348623157e308,
                0.1,
                1e21,
                *[None] * 77,
            ],
            "single": pl.Series([0.1] * 85, dtype=pl.Float32),
            "day": [date(1, 1, 1), date(9999, 12, 31), *[None] * 83],
            "texts": [["a;b", "", '"', "x\ny", ","], [], None, ["\x1f"], HOSTILE] * 17,
            "numbers": [[1, 2], [], None, [2**60], [0]] * 17,
            "reals": [[0.1, float("nan")], [], None, [1.0], [float("inf")]] * 17,
            "flags": [[True, False], [], None, [True], [False]] * 17,
            "with:colon": ["a", None, "b", "", "c"] * 17,
            'with "quotes",\nand more': ["a", None, "b", "", "c"] * 17,
            "größe in cm": [1.5] * 85,
            "varies": [1] * 85,
        }
    )
    later = pl.DataFrame(
        {"item_id": items[:40], "title": [None, "later"] * 20, "varies": [None, "text"] * 20}
    )
    again = pl.DataFrame({"item_id": items[:20], "varies": [7, None] * 10})
    pairs = [(a, b) for a in users[:40] for b in users[30:50] if a != b]
    large = pl.DataFrame({"user_id": ["u0"], "page": ["😀" * 131_072]})
    return Batches(
        {
            ITEMS: [several, later, again],
            USERS: [
                pl.DataFrame({"user_id": users, "city": ["", None, "Ulm", "x", "y"] * 17}),
                large,
            ],
            CATEGORIES: [
                pl.DataFrame(
                    {
                        "category_id": ["rock", 'f"olk'],
                        "name": ["Rock", None],
                        "parent_id": ["music", "music"],
                    }
                ),
                pl.DataFrame(
                    {
                        "category_id": ["rock", "rock"],
                        "kind": ["genre", None],
                        "parent_id": [None, "sound"],
                    }
                ),
            ],
            ITEM_CATEGORIES: [
                pl.DataFrame(
                    {"item_id": items, "category_id": ["rock"] * 85, "weight": [1.0] * 85}
                ),
                pl.DataFrame(
                    {
                        "item_id": ["i1", "only here"],
                        "category_id": ["rock", "jazz"],
                        "weight": [2.5, None],
                    }
                ),
            ],
            RELATED_ITEMS: [
                pl.DataFrame(
                    {
                        "item_id": ["i1"] * 3,
                        "related_id": ["i2"] * 3,
                        "kind": ["also_bought", None, "also_bought"],
                        "weight": [1.0, 2.0, 3.0],
                    }
                ),
            ],
            PREFERENCES: [pl.DataFrame({"user_id": users, "category_id": ["soul"] * 85})],
            FOLLOWS: [
                pl.DataFrame(pairs, ["follower_id", "followee_id"], orient="row").with_columns(
                    since=pl.lit(DAY)
                ),
                pl.DataFrame(pairs[::2], ["follower_id", "followee_id"], orient="row"),
            ],
            INTERACTIONS: [interactions[:2_000], *interactions[2_000:].iter_slices(701)],
        }
    )


def without_docker(command, **how):
    if command[0] == "docker":
        return CommandResult(NOT_FOUND)
    return run_command(command, **how)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A new home, in a folder whose name makes it hard, with the jars of the checkout."""
    home = tmp_path / "hömé, (1)+=:x"
    (home / "neo4j").mkdir(parents=True, mode=0o700)
    for jars in ((checkout_root() or Path.cwd()) / ".recsvc" / "neo4j").glob("lib-*"):
        (home / "neo4j" / jars.name).symlink_to(jars)
    return home


@pytest.fixture
def make_local(home: Path, neo4j_line: str) -> Iterator[Callable[[], LocalNeo4j]]:
    bolt_port, http_port = free_ports(2)
    options = LocalNeo4jOptions(
        home, bolt_port, http_port, heap_megabytes=512, page_cache_megabytes=64, version=neo4j_line
    )
    yield lambda: LocalNeo4j(options, without_docker)
    LocalNeo4j(options, without_docker).down()


@pytest.fixture
def local(make_local: Callable[[], LocalNeo4j]) -> LocalNeo4j:
    return make_local()


def bulk(local: LocalNeo4j, source: Tables, **how) -> IngestReport:
    return bulk_ingest(local, source, rejects=local.folder / "rejects.csv", **how)


def bulk_hash(local: LocalNeo4j) -> str:
    with Neo4jGateway(local.address()) as gateway:
        return graph_hash(gateway)


def write(folder: Path, **tables: str) -> FolderTables:
    folder.mkdir()
    for name, text in ({"interactions": "user_id,item_id\n"} | tables).items():
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    return FolderTables(folder)


def assert_as_ingested(
    local: LocalNeo4j, report: IngestReport, loaded: str, gateway: Neo4jGateway, rejects: Path
) -> None:
    """What `everything` was loaded into is the graph that an ingest makes of it.

    Args:
        local: where it was loaded into.
        report: of the load.
        loaded: the hash of the graph after it.
        gateway: an empty graph.
        rejects: a file for what is rejected.
    """
    source = everything()
    online = ingest(gateway, source, rejects=rejects)
    assert graph_hash(gateway) == loaded
    assert {name: (t.read, t.written) for name, t in report.tables.items()} == {
        name: (t.read, t.written) for name, t in online.tables.items()
    }
    assert not (local.folder / "import").exists()

    # And what is there is neither lost nor doubled.
    before = bulk_hash(local)
    with pytest.raises(LocalNeo4jError, match=r"holds [\d,]+ nodes and [\d,]+ relationships"):
        bulk(local, source)
    assert bulk_hash(local) == before


@pytest.mark.long
@pytest.mark.parametrize(
    "neo4j_line",
    [line for line in neo4j_versions() if line != DEFAULT_LINE],
    indirect=True, scope="session",
)  # fmt: skip
def test_the_graph_is_that_of_an_ingest_on_later_lines_too(
    local: LocalNeo4j, gateway: Neo4jGateway, tmp_path: Path
) -> None:
    """On the default line see `tests/integration/test_local_neo4j.py`."""
    report = bulk(local, everything())
    assert_as_ingested(local, report, bulk_hash(local), gateway, tmp_path / "rejects.csv")


@pytest.mark.long
@on_default_line
def test_an_empty_data_set_makes_an_empty_graph(local: LocalNeo4j, tmp_path: Path) -> None:
    bulk(local, write(tmp_path / "tables"))
    with Neo4jGateway(local.address()) as gateway:
        (counts,) = gateway.run(catalogue()["bulk/counts"])
    assert counts == {"nodes": 0, "relationships": 0}


@on_default_line
def test_strict_loads_nothing_if_a_row_is_bad(local: LocalNeo4j, tmp_path: Path) -> None:
    source = write(tmp_path / "tables", interactions="user_id,item_id\nu,i\n,j\n")
    with pytest.raises(RejectedRowsError, match="line 3"):
        bulk(local, source, strict=True)
    assert not local.has_data
    assert not local.half_loaded


BULK_PROGRAM = """
import sys
from pathlib import Path
from loaders.ingest.bulk import bulk_ingest
from loaders.local_neo4j import DEFAULT_LINE, LocalNeo4j, LocalNeo4jOptions, neo4j_versions
from loaders.local_neo4j._command import CommandResult, run_command
from loaders.tables import FolderTables
def run(command, **how):
    return CommandResult(1) if command[0] == 'docker' else run_command(command, **how)
home, bolt, http, version, tables = sys.argv[1:]
options = LocalNeo4jOptions(Path(home), int(bolt), int(http), heap_megabytes=512,
    page_cache_megabytes=64, version=version)
bulk_ingest(LocalNeo4j(options, run), FolderTables(Path(tables)),
    rejects=Path(home) / 'rejects.csv',
    progress=lambda what, done, total: print(what, flush=True))
"""


@pytest.mark.long
@on_default_line
@pytest.mark.parametrize("stage", ["loading", "making"])
def test_cut_off_at_any_stage_it_is_never_served_and_the_next_completes_it(
    stage: str, home: Path, local: LocalNeo4j, gateway: Neo4jGateway, tmp_path: Path,
    neo4j_line: str,
) -> None:  # fmt: skip
    rows = [f"u{n % 999},i{n % 777},2.5" for n in range(30_000)]
    text = "user_id,item_id,value\n" + "\n".join(rows)
    source = write(tmp_path / "tables", interactions=text)
    ports = [str(number) for number in free_ports(2)]
    command = [
        sys.executable,
        "-c",
        BULK_PROGRAM,
        str(home),
        *ports,
        neo4j_line,
        str(tmp_path / "tables"),
    ]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=checkout_root()
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(stage):
                break
        time.sleep(1.5 if stage == "loading" else 0.1)
        process.send_signal(signal.SIGKILL)
    assert local.half_loaded
    with pytest.raises(LocalNeo4jError, match=r"half loaded.*ingest --bulk"):
        local.up()
    with pytest.raises(LocalNeo4jError, match="half loaded"):
        local.address()
    bulk(local, source)
    assert not local.half_loaded
    ingest(gateway, source, rejects=tmp_path / "rejects.csv")
    assert graph_hash(gateway) == bulk_hash(local)


def statement(text: str) -> Query:
    return Query("tests/statement", "", "write", {}, {}, text)


BASE = (
    "CREATE (:User {user_id: 'a'})-[:INTERACTED {event: 'e', weight: 1.0}]->"
    "(:Item {item_id: 'i'}), "
    "(:EmbeddingVersion {model: 'm'})-[:HAS_PART]->(:SnapshotPart {number: 0}), "
    "(:Item {item_id: 'j'})"
)


@pytest.mark.parametrize(
    "change",
    [
        "MATCH (i:Item {item_id: 'j'}) DELETE i",
        "CREATE (:SnapshotPart {number: 0})",
        "MATCH (i:Item {item_id: 'j'}) SET i:User",
        "MATCH (i:Item {item_id: 'j'}) SET i.x = 1",
        "MATCH (v:EmbeddingVersion) SET v.model = 'n'",
        "MATCH (p:SnapshotPart) SET p.number = 1",
        "MATCH ()-[r:INTERACTED]->() SET r.weight = 1",
        "MATCH ()-[r:INTERACTED]->() SET r.weight = 0.0 / 0.0",
        "MATCH ()-[r:INTERACTED]->() SET r.at = datetime('2020-01-01T00:00Z')",
        "MATCH (a)-[r:INTERACTED]->(i) CREATE (i)-[s:INTERACTED]->(a) SET s = properties(r) "
        "DELETE r",
        "MATCH (a)-[r:INTERACTED]->() MATCH (j:Item {item_id: 'j'}) CREATE (a)-[s:INTERACTED]->(j) "
        "SET s = properties(r) DELETE r",
        "MATCH (a)-[r:INTERACTED]->(i) CREATE (a)-[s:VIEWED]->(i) SET s = properties(r) DELETE r",
    ],
)
def test_the_hash_sees_every_change(gateway: Neo4jGateway, change: str) -> None:
    gateway.run(statement(BASE))
    before = graph_hash(gateway)
    gateway.run(statement(change))
    assert graph_hash(gateway) != before


def test_the_hash_is_of_what_is_there_whatever_made_it(gateway: Neo4jGateway) -> None:
    gateway.run(statement(BASE))
    before = graph_hash(gateway)
    gateway.run(statement("MATCH (n) DETACH DELETE n"))
    gateway.run(statement("FOREACH (n IN range(0, 30000) | CREATE (:Gone {n: n}))"))
    gateway.run(statement("CREATE (:Item {item_id: 'j'}), (:Item {item_id: 'i', x: 1})"))
    gateway.run(statement("MATCH (n:Gone) DELETE n"))
    gateway.run(statement("MATCH (i:Item {item_id: 'i'}) REMOVE i.x DELETE i"))
    gateway.run(statement(BASE.replace(", (:Item {item_id: 'j'})", "")))
    assert graph_hash(gateway) == before


def test_types_that_look_alike_have_different_hashes(gateway: Neo4jGateway) -> None:
    values = [
        *("1", "1.0", "'1'", "true", "'true'", "[1]", "[1.0]", "['1']", "0.0 / 0.0", "'nan'"),
        *("date('2020-01-01')", "'2020-01-01'", "datetime('2020-01-01T00:00Z')"),
        *("datetime('2020-01-01T00:00+01:00')", "localdatetime('2020-01-01T00:00')", "[]", "''"),
    ]
    seen = set()
    for value in values:
        gateway.run(statement("MATCH (n) DETACH DELETE n"))
        gateway.run(statement(f"CREATE (:Probe {{x: {value}}})"))
        seen.add(graph_hash(gateway))
    assert len(seen) == len(values)
