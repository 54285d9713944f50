"""A meta-path is a file: the next refresh takes in one that is added, and leaves out one that went.

The commands run from a copy of the code in which not a line is changed, so that the files can be.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from loaders.catalogue import Query
from loaders.ingest import ingest
from loaders.tables import FolderTables
from tests.conftest import CHECKOUT, Served, running_service
from tests.waiting import until

pytestmark = pytest.mark.neo4j

NAME = "item_related_item"
PEOPLE, SETS, MEMBERS = 80, 60, 4

METAPATH = """\
// Items that the evidence item is related to, the 200 strongest at most.
// mode: read
// params: evidence_ids: list[str]
// returns: evidence_id: str, item_id: str, strength: float
UNWIND $evidence_ids AS evidence_id
MATCH (evidence:Item {item_id: evidence_id})
CALL (evidence) {
  MATCH (evidence)-[r:RELATED_TO]->(item:Item)
  WITH item, sum(r.weight) AS strength
  ORDER BY strength DESC, item.item_id
  LIMIT 200
  RETURN item, strength
}
RETURN evidence_id, item.item_id AS item_id, strength
"""

EXPLAIN = """\
// What item_related_item stands on: the evidence item is related to the recommended one.
// mode: read
// params: pairs: list[map], user_id: str, limit: int
// returns: evidence_id: str, item_id: str, strength: float, start: path, path: path
UNWIND $pairs AS pair
MATCH (evidence:Item {item_id: pair.evidence_id})
MATCH (item:Item {item_id: pair.item_id})
CALL (evidence, item) {
  MATCH path = (evidence)-[r:RELATED_TO]->(item)
  RETURN path, r.weight AS strength
  ORDER BY strength DESC
  LIMIT $limit
}
CALL (evidence) {
  OPTIONAL MATCH start = (:User {user_id: $user_id})-[:INTERACTED]->(evidence)
  RETURN head(collect(start)) AS start
}
RETURN pair.evidence_id AS evidence_id, pair.item_id AS item_id, strength, start, path
ORDER BY item_id, evidence_id, strength DESC
"""


def _write_tables(folder: Path) -> None:
    """Items come in sets of four that are related; people have halves of some sets, at random.

    So few have the same halves that what people have in common says little about the others.
    """
    rng = np.random.default_rng(5)
    sets = [[f"s{number:02}-{member}" for member in range(MEMBERS)] for number in range(SETS)]
    liked = [
        f"u{user},{item}"
        for user in range(PEOPLE)
        for chosen in rng.choice(SETS, 4, replace=False)
        for item in rng.choice(sets[chosen], 3, replace=False)
    ]
    liked += ["asker,s07-0", "asker,s23-1"]
    related = [
        f"{first},{second},{1.5 if second.endswith('3') else 1.0}"
        for members in sets
        for first in members
        for second in members
        if first != second
    ]
    (folder / "interactions.csv").write_text("user_id,item_id\n" + "\n".join(liked))
    (folder / "related_items.csv").write_text("item_id,related_id,weight\n" + "\n".join(related))


class Copy:
    """The code and its queries in a folder of their own, over a small graph."""

    def __init__(self, served, root: Path) -> None:
        for folder in ("loaders", "recsvc", "cypher"):
            # What was compiled is taken along, but for what is being written by others.
            ignored = shutil.ignore_patterns("*.pyc.*", "*.tmp.*")
            shutil.copytree(CHECKOUT / folder, root / folder, ignore=ignored)
        shutil.copy(CHECKOUT / "pyproject.toml", root)
        self.served = served
        self.cypher = root / "cypher"
        # Else the folder that the tests are run from would come first.
        self.more = {"PYTHONPATH": str(root), "PYTHONSAFEPATH": "1"}

    def files(self) -> list[Path]:
        return [self.cypher / folder / f"{NAME}.cypher" for folder in ("metapaths", "explain")]

    def refresh(self):
        # By force: without the meta-path the blend is worse, which the gate refuses.
        arguments = ("refresh", "--model", "itemknn", "--force", "--json")
        done = subprocess.run(
            [sys.executable, "-m", "recsvc", *arguments],
            env={**self.served.environment, **self.more},
            capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def service(self, log: Path):
        environment = {**self.served.environment, **self.more, "RECSVC_ANSWER_CACHE_SECONDS": "0"}
        return running_service(environment, log)


@pytest.fixture
def copy(neo4j_address, gateway, tmp_path):
    tables, root = tmp_path / "tables", tmp_path / "copy"
    tables.mkdir()
    _write_tables(tables)
    ingest(gateway, FolderTables(tables), rejects=tmp_path / "rejects.csv", strict=True)
    return Copy(Served(neo4j_address, gateway, None, tmp_path / "home", tables), root)


def _recommend(service):
    answer = service.client.get(
        "/v1/users/asker/recommendations", params={"k": 6, "explain": "full"}
    )
    assert answer.status_code == 200, answer.text
    document = answer.json()
    assert document["degraded"] == []
    assert len(document["items"]) == 6
    for item in document["items"]:
        explanation = item["explanation"]
        listed = sum(c["value"] for c in explanation["contributions"])
        assert sum(item["signals"].values()) == pytest.approx(item["score"], rel=1e-4)
        assert listed + explanation["remainder"] == pytest.approx(item["score"], rel=1e-4)
    return document


def _by_signal(item):
    """What the contributions that are listed add, by signal."""
    parts: dict[str, float] = {}
    for each in item["explanation"]["contributions"]:
        parts[each["signal"]] = parts.get(each["signal"], 0.0) + each["value"]
    return parts


def _related_paths(item):
    return [
        path
        for path in item["explanation"]["paths"]
        if [step["type"] for step in path["relationships"]] == ["INTERACTED", "RELATED_TO"]
    ]


def _exists(served, path):
    text = """
    MATCH (:User {user_id: $ids[0]})-[:INTERACTED]->(:Item {item_id: $ids[1]})
          -[:RELATED_TO]->(:Item {item_id: $ids[2]})
    RETURN 1 LIMIT 1
    """
    query = Query("tests/related", "", "read", {"ids": "any"}, {}, text)
    return bool(served.gateway.run(query, ids=[node["id"] for node in path["nodes"]]))


def _added(copy, tmp_path):
    """What a service answers after a refresh with both files, which is what they say."""
    for file, text in zip(copy.files(), (METAPATH, EXPLAIN), strict=True):
        file.write_text(text)
    report = copy.refresh()
    assert report["weights"][NAME] > 0.1  # it finds what was held out, and was not let in for that
    assert NAME in report["metrics"]
    with copy.service(tmp_path / "with.log") as service:
        first = _recommend(service)
    _check_signal(copy.served, first)
    return first


def test_a_file_that_is_added_is_a_signal_after_the_next_refresh(copy, tmp_path):
    _added(copy, tmp_path)


@pytest.mark.long
def test_files_that_are_broken_or_removed_later_are_done_without(copy, tmp_path):
    first = _added(copy, tmp_path)
    for file, text in zip(copy.files(), (METAPATH, EXPLAIN), strict=True):
        file.write_text(text.replace("LIMIT", "LIMITED TO"))
    with copy.service(tmp_path / "broken.log") as service:
        _check_still_answers(service, first)
    _check_named(tmp_path / "broken.log", copy.files())
    for file in copy.files():
        file.unlink()
    with copy.service(tmp_path / "without.log") as service:
        _check_still_answers(service, first)
        report = copy.refresh()
        assert NAME not in report["weights"]
        later = _recommend_from(service, first["versions"]["hybrid"] + 1)
    for item in later["items"]:
        assert NAME not in item["signals"]
        assert not _related_paths(item)


def _check_signal(served, document):
    """The best items are those related to what the asker has, and say so."""
    related = {f"s07-{n}" for n in (1, 2, 3)} | {f"s23-{n}" for n in (0, 2, 3)}
    assert {item["item_id"] for item in document["items"]} == related
    assert {item["item_id"] for item in document["items"][:2]} == {"s07-3", "s23-3"}  # weight 1.5
    for item in document["items"]:
        value = item["signals"][NAME]
        assert value > 0.0
        assert _by_signal(item)[NAME] == pytest.approx(value, rel=1e-4)
        (path,) = _related_paths(item)
        assert path["contribution"] == pytest.approx(value, rel=1e-4)
        assert _exists(served, path)
        assert "RELATED_TO" in item["explanation"]["cypher"]
    one, other = (document["items"][at]["signals"][NAME] for at in (0, -1))
    assert one == pytest.approx(1.5 * other, rel=1e-4)


def _check_still_answers(service, first):
    """A service without the files still serves the arrays that were made with them."""
    document = _recommend(service)
    assert document["versions"] == first["versions"]
    for item, before in zip(document["items"], first["items"], strict=True):
        assert item["item_id"] == before["item_id"]
        assert item["signals"] == pytest.approx(before["signals"], rel=1e-6)
        assert _by_signal(item)[NAME] > 0.0
        assert not _related_paths(item)


def _check_named(log, files):
    """The log names each file that Neo4j does not take, with the line to look at, once."""
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    told = {line["file"]: line["reason"] for line in lines if line["event"] == "query left out"}
    assert len(told) == len([line for line in lines if line["event"] == "query left out"])
    assert told.keys() == {f"cypher/{file.parent.name}/{file.name}" for file in files}
    for file in files:
        numbered = enumerate(file.read_text().splitlines(), start=1)
        at = next(number for number, line in numbered if "LIMITED TO" in line)
        assert f"line {at}, column" in told[f"cypher/{file.parent.name}/{file.name}"]


def _recommend_from(service, version):
    """The answer of a running service once it serves a version."""

    def served():
        document = _recommend(service)
        return document if document["versions"]["hybrid"] == version else None

    return until(served)
