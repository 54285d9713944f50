"""What is wrong with a meta-path is said before anything is made of it, with file and line."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from loaders.catalogue import Catalogue, Query
from loaders.errors import CatalogueError
from loaders.extract import extract_graph
from loaders.gateway import Neo4jAddress, Neo4jGateway
from loaders.schema import apply_schema
from recsvc.refresh import path_check, pipeline
from recsvc.refresh.pipeline import refresh
from recsvc.refresh.run_journal import newest_manifests
from recsvc.settings import load_settings
from recsvc.signals import metapath
from tests.conftest import CHECKOUT, QUICK, recsvc
from tests.prepared_graph import DELETE_ALL

pytestmark = pytest.mark.neo4j

NAME = "item_by_people"
METAPATH = """\
// Items of the people who have the evidence item.
// mode: read
// params: evidence_ids: list[str], kinds: list[str]
// returns: evidence_id: str, item_id: str, strength: float
// walk: (Item) <-[INTERACTED max 50]- (User) -[INTERACTED max 50]-> (Item)
UNWIND $evidence_ids AS evidence_id
MATCH (evidence:Item {item_id: evidence_id})<-[a:INTERACTED]-(:User)-[b:INTERACTED]->(item:Item)
WHERE a.event IN $kinds AND b.event IN $kinds AND item <> evidence
WITH evidence_id, item, toFloat(count(*)) AS strength
RETURN evidence_id, item.item_id AS item_id, strength
"""
WALK = METAPATH.splitlines(keepends=True)[4]
EXPLAIN = """\
// The people who have both.
// mode: read
// params: pairs: list[map], kinds: list[str], limit: int
// returns: evidence_id: str, item_id: str, strength: float, start: path, path: path
UNWIND $pairs AS pair
MATCH path = (:Item {item_id: pair.evidence_id})<-[a:INTERACTED]-(:User)
             -[b:INTERACTED]->(:Item {item_id: pair.item_id})
WHERE a.event IN $kinds AND b.event IN $kinds
WITH pair, path
LIMIT $limit
RETURN pair.evidence_id AS evidence_id, pair.item_id AS item_id, 1.0 AS strength,
       null AS start, path
"""
ENDLESS = "UNWIND range(1, 1000000000000) AS n\nWITH evidence_id, item, count(n) AS strength\n"
MAKE = Query(
    "tests/made", "", "write", {}, {},
    "UNWIND range(0, 11) AS user UNWIND range(0, 5) AS item WITH user, (user + item) % 9 AS item "
    "MERGE (u:User {user_id: 'u' + user}) MERGE (i:Item {item_id: 'i' + item}) "
    "CREATE (u)-[:INTERACTED {event: 'Listen', weight: 1.0, count: 1}]->(i)",
)  # fmt: skip
COMES = Query(
    "tests/comes", "", "write", {"user": "str", "of": "int"}, {},
    "MATCH (i:Item) WHERE toInteger(right(i.item_id, 1)) / 4 = $of "
    "MERGE (u:User {user_id: $user}) "
    "CREATE (u)-[:INTERACTED {event: 'Listen', weight: 1.0, count: 1}]->(i)",
)  # fmt: skip
GO = Query(
    "tests/go", "", "write", {}, {},
    "MATCH (u:User) WHERE u.user_id STARTS WITH 'late' DETACH DELETE u",
)  # fmt: skip
LEFT = Query("tests/left", "", "read", {}, {}, "MATCH (n) RETURN count(n) AS n, sum(n.x) AS x")


@pytest.fixture(scope="module")
def made(session_gateway: Neo4jGateway) -> Neo4jGateway:
    session_gateway.run(DELETE_ALL)
    apply_schema(session_gateway)
    session_gateway.run(MAKE)
    return session_gateway


Check = Callable[..., tuple[int, list[str], str]]


@pytest.fixture
def check(neo4j_address: Neo4jAddress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Check:
    """Checks a meta-path: exit code, its faults below the folder, what stands on stderr."""
    for name, value in (("URI", neo4j_address.uri), ("USER", neo4j_address.user),
                        ("PASSWORD", neo4j_address.password)):  # fmt: skip
        monkeypatch.setenv(f"RECSVC_NEO4J_{name}", value)
    monkeypatch.setenv("RECSVC_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(path_check, "TIME_LIMIT_SECONDS", 600.0)

    def run(text: str = METAPATH, drawn: str = "", name: str = NAME) -> tuple[int, list[str], str]:
        for folder, content in (("metapaths", text), ("explain", drawn)):
            (tmp_path / folder).mkdir(exist_ok=True)
            if content:
                (tmp_path / folder / f"{name}.cypher").write_text(content, encoding="utf-8")
        done = recsvc("path", "check", str(tmp_path / "metapaths" / f"{name}.cypher"), "--json")
        assert done.stdout, done.stderr
        document = json.loads(done.stdout)
        told = [f"{fault['file']}:{fault['line']}: {fault['text']}" for fault in document["faults"]]
        return done.returncode, [each.removeprefix(f"{tmp_path}/") for each in told], done.stderr

    return run


@pytest.mark.usefixtures("made")
def test_nothing_is_wrong_with_a_file_that_does_what_it_declares(check: Check) -> None:
    code, faults, said = check(drawn=EXPLAIN)
    assert (code, faults) == (0, []), said


@pytest.mark.usefixtures("made")
@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("RETURN evidence_id", "RETRUN evidence_id", 10, "Invalid input 'RETRUN'"),
        ("AS item_id, strength", "AS item, strength", 10, "it returns evidence_id, item, strength"),
        ("RETURN evidence_id", "SET item.x = 1\nRETURN evidence_id", 6, "it writes"),
        ("item_id, strength\n", "item_id, toString(strength) AS strength\n", 10, "not a number"),
        ("item_id, strength\n", "item_id, null AS strength\n", 10, "is not a number .*: None"),
        ("item_id, strength\n", "item_id, strength / 0.0 AS strength\n", 10, "not finite .*: inf"),
        ("item_id, strength\n", "item_id, -strength AS strength\n", 10, "negative"),
        ("RETURN evidence_id", "UNWIND [1, 2] AS n\nRETURN evidence_id", 11, "in several rows"),
        ("item.item_id AS", "item.item_id + '?' AS", 10, r"id of no item .*'i\d\?'"),
        ("item.item_id AS", "toInteger(right(item.item_id, 1)) AS", 10, "is not text"),
        ("RETURN evidence_id", "RETURN '?' + evidence_id AS evidence_id", 10, "not one of"),
        ("(Item) <-", "(Item ^-0.5) <-", 5, r"the walk gives other rows .* for 6 of 6"),
        ("toFloat(count(*))", "count(*) / 0", 6, "/ by zero"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_line(
    check: Check, old: str, new: str, line: int, said: str
) -> None:
    assert old in METAPATH
    code, faults, error = check(METAPATH.replace(old, new, 1))
    assert code == 1
    assert error.endswith(f"{NAME}.cypher: one fault\n")
    (fault,) = faults
    assert fault.startswith(f"metapaths/{NAME}.cypher:{line}: ")
    assert re.search(said, fault), fault


def test_what_writes_was_not_run(made: Neo4jGateway, check: Check) -> None:
    before = made.run(LEFT)
    check(METAPATH.replace("RETURN evidence_id", "SET item.x = 1\nRETURN evidence_id"))
    assert made.run(LEFT) == before


@pytest.mark.usefixtures("made")
def test_paths_that_do_not_add_up_are_said_of_the_file_that_draws_them(check: Check) -> None:
    (fault,) = check(drawn=EXPLAIN.replace("1.0 AS strength", "1000.0 AS strength"))[1]
    assert fault.startswith(f"explain/{NAME}.cypher:11: the paths do not add up")
    assert re.search(r"item 'i\d': (\d) paths with (\1)000 of \1;", fault), fault


def test_a_graph_that_changes_meanwhile_is_no_fault_of_a_file(
    made: Neo4jGateway, check: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert check(drawn=EXPLAIN)[0] == 0
    drawn, kinds = 0, ("metapaths", "explain")
    asked_for = path_check.path_parameters

    def changed_before(*given: Any, **named: Any) -> dict[str, Any]:  # other pairs each time
        nonlocal drawn
        drawn += 1
        made.run(COMES, user=f"late{drawn}", of=drawn % 2)
        return asked_for(*given, **named)

    monkeypatch.setattr(path_check, "path_parameters", changed_before)
    files = {f"{kind}/{NAME}": tmp_path / kind / f"{NAME}.cypher" for kind in kinds}
    queries = Catalogue(CHECKOUT / "cypher", files)
    try:
        found = path_check.sample_faults(
            made, queries, NAME, ("Listen",), lambda: extract_graph(made)
        )
    finally:
        made.run(GO)
    assert found.faults == []
    assert drawn > 1  # paths did not add up at first


@pytest.mark.usefixtures("made")
def test_what_takes_too_long_is_stopped(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(path_check, "TIME_LIMIT_SECONDS", 0.3)
    text = METAPATH.replace("RETURN evidence_id", f"{ENDLESS}RETURN evidence_id")
    (fault,) = check(text)[1]
    assert fault.startswith(f"metapaths/{NAME}.cypher:6: stopped after 0 s for 6 evidence nodes")
    monkeypatch.setattr(path_check, "_MOST_ROWS", 10)
    monkeypatch.setattr(path_check, "TIME_LIMIT_SECONDS", 600.0)
    (fault,) = check()[1]
    assert "10 rows and more" in fault


def test_rows_that_cannot_be_read_are_told_and_the_others_served(
    made: Neo4jGateway, check: Check, tmp_path: Path
) -> None:
    """Somebody may have set a weight by hand of which a file makes no strength."""
    some = METAPATH.replace(
        "item_id, strength\n",
        "item_id, CASE item.item_id WHEN 'i0' THEN null ELSE strength END AS strength\n",
    )
    text = some.replace(WALK, "")
    code, (fault,), _ = check(text)
    assert code == 1
    assert re.search(r"strength is not a number \(\d+ of \d+ rows", fault)
    queries = Catalogue(
        CHECKOUT / "cypher", {f"metapaths/{NAME}": tmp_path / "metapaths" / f"{NAME}.cypher"}
    )
    found = path_check.sample_faults(made, queries, NAME, ("Listen",), pytest.fail)
    assert not found.faults
    assert len(found.left_out) == 1


@pytest.mark.usefixtures("made")
def test_all_that_is_wrong_is_said_at_once(check: Check) -> None:
    text = METAPATH.replace("mode: read", "mode: delete").replace("strength: float", "s: float")
    _, faults, _ = check(text.replace("RETURN", "RETRUN"), EXPLAIN.replace("$limit", "$most"))
    where = sorted(fault.split(": ")[0] for fault in faults)
    assert where == [
        f"explain/{NAME}.cypher:3", f"metapaths/{NAME}.cypher:10", f"metapaths/{NAME}.cypher:2",
        f"metapaths/{NAME}.cypher:4",
    ]  # fmt: skip


def test_without_neo4j_the_header_is_checked(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSVC_NEO4J_URI", "bolt://127.0.0.1:1")
    code, faults, said = check()
    assert (code, faults) == (0, [])
    assert "nothing else was checked" in said
    code, faults, _ = check(name="person_item")
    assert code == 1
    assert faults[0].startswith("metapaths/person_item.cypher:1: a meta-path's name begins with")


def test_a_refresh_refuses_it_before_it_fits_anything(
    made: Neo4jGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / f"{NAME}.cypher"
    file.write_text(METAPATH.replace("(Item) <-", "(Item ^-0.5) <-"), encoding="utf-8")
    queries = Catalogue(CHECKOUT / "cypher", {f"metapaths/{NAME}": file})
    monkeypatch.setattr(pipeline, "catalogue", lambda: queries)
    monkeypatch.setattr(metapath, "catalogue", lambda: queries)
    with pytest.raises(CatalogueError, match=r"cypher:5: the walk gives other rows"):
        refresh(made, QUICK, load_settings().events, home=tmp_path / "home")
    (manifest,) = newest_manifests(tmp_path / "home")
    assert manifest.state == "failed"
    assert [step.name for step in manifest.steps] == ["begin", "extract", "check meta-paths"]


def test_a_late_check_asks_for_less_and_ends_no_refresh_of_a_declared_walk(
    made: Neo4jGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the walk declares is made without the text; without one nothing else makes the rows."""
    assert path_check.REFRESH_LIMIT_SECONDS > path_check.TIME_LIMIT_SECONDS
    file = tmp_path / f"{NAME}.cypher"
    endless = METAPATH.replace("RETURN evidence_id", f"{ENDLESS}RETURN evidence_id")
    late = "stopped after 0 s for 1 evidence node:"

    def reached(*_: object) -> None:
        raise RuntimeError("reached")

    def checked(text: str, error: type[Exception], said: str) -> list[str]:
        file.write_text(text, encoding="utf-8")
        queries = Catalogue(CHECKOUT / "cypher", {f"metapaths/{NAME}": file})
        monkeypatch.setattr(pipeline, "catalogue", lambda: queries)
        monkeypatch.setattr(metapath, "catalogue", lambda: queries)
        with capture_logs() as logs, pytest.raises(error, match=said):
            refresh(made, QUICK, load_settings().events, home=tmp_path / "home")
        return [fault for entry in logs for fault in entry.get("late", ())]

    monkeypatch.setattr(pipeline, "REFRESH_LIMIT_SECONDS", 0.3)
    monkeypatch.setattr(pipeline, "resolved_options", reached)
    assert any(
        f"{NAME}.cypher:6: {late}" in each for each in checked(endless, RuntimeError, "reached")
    )
    checked(endless.replace(WALK, ""), CatalogueError, late)
