"""Every command and the service while RECSVC_HOME is full, or on a read-only file system."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer.main
from typer.core import TyperGroup

from recsvc.cli import app
from tests.conftest import QUICK, Served, running_service
from tests.faults.small_disk import read_only, small_disk

pytestmark = [pytest.mark.neo4j, pytest.mark.slow]

REFRESH_OPTIONS = QUICK
WRITING = {
    "db up": ["db", "up"],
    "ingest": ["ingest", "TABLES"],
    "refresh": ["refresh", "--model", "fastrp"],
    "delete-user": ["delete-user", "u239"],
    "unlearn": ["unlearn"],
    "keys create": ["keys", "create", "shop"],
    "person-link": ["person-link", "u1"],
    "analyst install": ["analyst", "install"],
}
"""What has to write into RECSVC_HOME, and ends with one line."""
READING = {
    "db down": ["db", "down"],
    "db status": ["db", "status"],
    "report": ["report", "--out", "OUT/report.html"],
    "extract": ["extract", "--out", "OUT/graph"],
    "versions": ["versions"],
    "activate": ["activate", "hybrid", "1"],
    "recommend": ["recommend", "u1"],
    "explain": ["explain", "u1", "i1"],
    "similar": ["similar", "i1"],
    "home": ["home", "u1"],
    "batch-recommend": ["batch-recommend", "--out", "OUT/all.jsonl"],
    "keys list": ["keys", "list"],
    "outcomes stats": ["outcomes", "stats"],
    "outcomes prune": ["outcomes", "prune"],
    "scenarios list": ["scenarios", "list"],
    "experiments list": ["experiments", "list"],
    "exposure": ["exposure"],
    "train": ["train", "popularity", "--out", "OUT/model"],
}
"""What needs nothing of it, or what is there."""
NOT_RUN = {
    "serve": "a test of its own",
    "links": "fits on tables or the graph as train, and writes nothing",
    "mcp": "answers as serve does",
    "publish": "reads and writes the graph alone",
    "consume": "wants a Kafka; of RECSVC_HOME it writes what delete-user does",
    "recourse": "reads the graph alone, as recommend",
    "export-user": "reads the graph alone, as recommend",
    "backup": "dumps a local Neo4j, which cannot be there: as db up",
    "restore": "as backup",
    "item-recourse": "reads the graph alone, as recommend",
    "verify": "reads the graph alone, as recommend",
    "schedule": "runs until it is stopped; each refresh is a command of its own",
    "rollback": "as activate",
    "tune": "as train",
    "evaluate": "as train",
    "keys revoke": "as keys create, of a key that could not be made",
    "analyst up": "copies a local Neo4j, which cannot be there: as db up",
    "analyst down": "as db down",
    "path check": "reads the graph alone, as recommend",
    "path try": "reads what a refresh left, as report",
    "attach": "writes no more than recsvc.toml, as ingest --event-weight",
    "detach": "writes into a mapped graph alone",
    "doctor": "says so, in tests of its own",
    "retract": "writes into the graph alone",
    "scenarios show": "reads the graph alone, as scenarios list",
    "scenarios try": "as recommend",
    "scenarios put": "writes into the graph alone",
    "scenarios rollback": "as scenarios put",
    "scenarios delete": "as scenarios put",
    "experiments results": "reads the graph alone, as experiments list",
    "experiments estimate": "as recommend",
    "demo": "runs commands that are here",
    "experiments put": "writes into the graph alone",
    "experiments stop": "as experiments put",
    "experiments delete": "as experiments put",
}
"""Why others are left out."""


@dataclass(frozen=True)
class Home:
    """A folder that cannot be written.

    Attributes:
        folder: where it is.
        reason: what the system says of it.
    """

    folder: Path
    reason: str


@pytest.fixture(params=["full", pytest.param("read-only", marks=pytest.mark.long)])
def home(request: pytest.FixtureRequest, served: Served, tmp_path: Path) -> Iterator[Home]:
    """A full one in which nothing was before, and a read-only one that was used."""
    place = tmp_path / "place"
    place.mkdir()
    if request.param == "full":
        with small_disk(place, megabytes=4) as disk:
            disk.fill()
            yield Home(place / "home", "No space left on device")
        return
    written = tmp_path / "written"
    shutil.copytree(served.home, written / "home")
    told = served.run("recommend", "u1", RECSVC_HOME=str(written / "home"))
    assert told.returncode == 0, told.stderr
    with read_only(written, place):
        yield Home(place / "home", "Read-only file system")


def run(served: Served, home: Home, out: Path, arguments: list[str]) -> tuple[int, str]:
    """Exit code and stderr of a command."""
    named = {"TABLES": str(served.tables)}
    given = [named.get(each, each.replace("OUT", str(out))) for each in arguments]
    told = served.run(*given, RECSVC_HOME=str(home.folder))
    return told.returncode, told.stderr


def test_every_command_is_named_here() -> None:
    named = WRITING.keys() | READING.keys() | NOT_RUN.keys()
    group = typer.main.get_group(app)
    there = {
        f"{name} {each}" if isinstance(command, TyperGroup) else name
        for name, command in group.commands.items()
        for each in getattr(command, "commands", {"": None})
    }
    assert named == there


def test_a_command_that_writes_there_ends_with_one_line(
    served: Served, home: Home, tmp_path: Path
) -> None:
    for arguments in WRITING.values():
        code, told = run(served, home, tmp_path, arguments)
        last = told.splitlines()[-1]
        assert (code, last[:8]) == (1, "recsvc: "), (arguments, told)
        assert home.reason in last or "has 0 MiB free" in last, (arguments, told)
        assert str(home.folder) in last, (arguments, told)
        assert "RECSVC_HOME" in last or "same command goes on" in last, (arguments, told)
        assert "Traceback" not in told
    versions = run(served, home, tmp_path, ["versions"])
    assert versions[0] == 0
    assert run(served, home, tmp_path, ["recommend", "u239"])[0] == 0  # nobody was deleted


@pytest.mark.long
def test_a_command_that_reads_does_its_work(served: Served, home: Home, tmp_path: Path) -> None:
    for arguments in READING.values():
        code, told = run(served, home, tmp_path, arguments)
        assert code == 0, (arguments, told)
        assert "Traceback" not in told


@pytest.mark.long
@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_service_answers_reads_and_takes_events(
    served: Served, home: Home, tmp_path: Path, workers: str
) -> None:
    environment = {**served.environment, "RECSVC_HOME": str(home.folder)}
    log = tmp_path / "serve.log"
    arguments = () if workers == "1" else ("--workers", workers)
    with running_service(environment, log, *arguments) as service:
        client = service.client
        for path in ("/v1/users/u1/recommendations?explain=full", "/v1/items/i1/similar"):
            answer = client.get(path)
            assert (answer.status_code, answer.json()["degraded"]) == (200, []), answer.text
        event = {"event_id": f"{home.folder} {workers}", "user_id": "u1", "item_id": "i9"}
        taken = client.post("/v1/events", json={"events": [event]})
        assert (taken.status_code, taken.json()["new"]) == (200, 1)
        begun = client.post("/v1/refreshes", json={})
        assert begun.status_code == 503, begun.text
        assert begun.headers["content-type"] == "application/problem+json"
        assert client.get("/v1/users/u1/recommendations").status_code == 200
    told = log.read_text()
    assert "Traceback" not in told, told
