"""The page of each run: its numbers are the report's, its lists those that are served."""

import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import orjson
import pytest

from loaders.gateway import Neo4jGateway
from loaders.local_neo4j import DEFAULT_LINE
from recsvc.blend import fit as blend_fit
from recsvc.errors import SnapshotError
from recsvc.evaluation.splits import id_numbers
from recsvc.refresh import list_diff
from recsvc.refresh.page import refresh_page
from recsvc.refresh.process import REFUSED
from recsvc.refresh.run_journal import new_name
from recsvc.refresh.run_manifest import RunManifest
from recsvc.refresh.sampled_lists import SampledLists, forget, read_lists
from recsvc.snapshot import deletion
from tests.integration.conftest import active
from tests.integration.test_refused_versions import REFRESH, for_the_wrong_users

pytestmark = [
    pytest.mark.neo4j, pytest.mark.parametrize("neo4j_line", [DEFAULT_LINE], indirect=True),
]  # fmt: skip
Command = Callable[..., tuple[int, str, str]]
Refreshed = Callable[..., RunManifest]
USERS = [f"u{number:03}" for number in range(60)]


def tables(page: str) -> dict[str, dict[str, list[str]]]:
    """The cells of each table by its caption and the first cell of the row."""
    root = ElementTree.fromstring(page.removeprefix("<!DOCTYPE html>\n"))
    rows_of_table: dict[str, dict[str, list[str]]] = {}
    for table in root.iter("table"):
        caption, body = table.find("caption"), table.find("tbody")
        assert caption is not None
        assert body is not None
        cells = [["".join(cell.itertext()) for cell in row] for row in body]
        rows_of_table["".join(caption.itertext())] = {row[0]: row[1:] for row in cells}
    return rows_of_table


def batch(command: Command, file: Path) -> dict[str, list[str]]:
    """The first items of every user, as they are served now."""
    code, _, err = command("batch-recommend", "--out", str(file), "-k", "10", "--json")
    assert code == 0, err
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    lists: defaultdict[str, list[str]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: (row["user_id"], row["rank"])):
        lists[row["user_id"]].append(row["item_id"])
    return lists


def newest(home: Path) -> Path:
    return max((home / "refreshes").glob("*/"))


def page_of(home: Path) -> str:
    """The page of the newest run."""
    return refresh_page(home, newest(home).name)


@pytest.mark.usefixtures("first")
def test_an_activated_run_shows_what_was_served_before_and_what_is_now(
    gateway: Neo4jGateway, command: Command, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    first = page_of(home)
    assert "No version of the blend was active to compare with." in first
    before = batch(command, tmp_path / "before.jsonl")
    # Other kinds of signals, so that lists change.
    name = new_name()
    code, out, err = command("refresh", "--model", "walk3", "--seed", "3", "--run", name, "--json")
    assert code == 0, err
    now = batch(command, tmp_path / "now.jsonl")

    report = orjson.loads(out)
    assert report["page"] == f"/v1/refreshes/{report['run']}/report"
    folder = newest(home)
    assert folder.name == report["run"] == name
    lists = read_lists(folder)
    assert lists is not None
    assert lists.version == 1
    hashes = id_numbers(USERS).view("u8").tolist()
    expected = [user for _, user in sorted(zip(hashes, USERS, strict=True))][:20]
    for user_id, each in zip(expected, lists.users, strict=True):
        assert [item.item_id for item in each.before] == before[user_id]
        assert [item.item_id for item in each.now] == now[user_id]
    assert 0.0 < lists.overlap[0] < 1.0

    file = tmp_path / "page.html"
    code, shown_here, err = command("report", "--refresh", report["run"], "--out", str(file))
    assert code == 0, err
    text = file.read_text()
    assert text == page_of(home)
    assert "hybrid 2 became active." in shown_here
    assert not [user for user in USERS if user in text]
    shown = tables(text)
    blend = report["metrics"]["hybrid"]["ndcg@20"]
    new, _, low, high, *_ = (float(cell) for cell in shown["NDCG@20"]["the blend"])
    assert (new, low, high) == pytest.approx((blend["mean"], blend["low"], blend["high"]), abs=6e-5)
    earlier = orjson.loads(min(home.glob("refreshes/*/manifest.json")).read_bytes())["metrics"]
    for name in ("hybrid", "fastrp", "pagerank"):
        mean = earlier[name]["recall@20"]["mean"] if name in earlier else None
        row = shown["Recall@20"].get("the blend" if name == "hybrid" else name)
        if row is not None:
            assert float(row[1]) == pytest.approx(mean, abs=6e-5)
    for name, weight in report["weights"].items():
        assert float(shown["λ by signal"][name][0]) == pytest.approx(weight, abs=6e-5)
    seconds = {name: float(row[0]) for name, row in shown["Time and memory by step"].items()}
    assert seconds == pytest.approx(report["seconds"], abs=6e-3, rel=1e-3)
    assert "lists" in seconds
    assert int(shown["Counts"]["interactions"][0]) == report["counts"]["interactions"]
    assert not list(folder.glob("*/"))  # nothing unpacked is left

    gone = expected[4]
    assert command("delete-user", gone)[0] == 0
    left = page_of(home)
    assert ("User 5, " in text, "User 5, " in left, "User 6, " in left) == (True, False, True)
    kept = read_lists(folder)
    assert kept is not None
    assert int(id_numbers([gone])[0]) not in {each.user for each in kept.users}


@pytest.mark.long
@pytest.mark.usefixtures("first")
def test_a_refused_and_a_forced_run_have_a_page_too(
    gateway: Neo4jGateway,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(blend_fit, "candidates_in_parts", for_the_wrong_users)
    assert command(*REFRESH)[0] == REFUSED
    folder = newest(tmp_path / "home")
    manifest = orjson.loads((folder / "manifest.json").read_bytes())
    page = page_of(tmp_path / "home")
    assert "NDCG@20 is worse" in manifest["objections"][0]
    assert all(each.replace("'", "&#39;") in page for each in manifest["objections"])
    assert "The gate refused the new version. What was active stayed active." in page
    assert f"{-manifest['change']['mean']:.4f} below that of hybrid 1" in page
    assert "hybrid 2, fastrp 2" in page
    assert manifest["metrics"]["hybrid"]["ndcg@20"]["high"] < 1.0
    lists = read_lists(folder)
    assert lists is not None
    assert len(lists.users) == 20

    code, out, err = command(*REFRESH, "--force")
    assert code == 0, err
    forced = page_of(tmp_path / "home")
    assert "It was activated by force. What spoke against it:" in forced
    assert orjson.loads(out)["overridden"][0].replace("'", "&#39;") in forced
    assert "hybrid 3, fastrp 3 became active." in forced


@pytest.mark.usefixtures("first")
def test_who_is_deleted_while_the_lists_are_made_is_not_in_them(
    gateway: Neo4jGateway, refreshed: Refreshed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    deleted: list[int] = []

    def compare(*arguments: Any) -> SampledLists:
        changes = changed_lists(*arguments)
        number = changes.users[2].user
        user = next(u for u in USERS if int(id_numbers([u])[0]) == number)
        deletion.delete_user(gateway, user, snapshot_folder=tmp_path / "snapshots")
        forget(tmp_path / "home", "user", user)  # it comes before the lists are written
        deleted.append(number)
        return changes

    changed_lists = list_diff.changed_lists
    monkeypatch.setattr(list_diff, "changed_lists", compare)
    refreshed()
    folder = newest(tmp_path / "home")
    lists = read_lists(folder)
    assert lists is not None
    assert [each.number for each in lists.users] == [n for n in range(1, 21) if n != 3]
    assert deleted[0] not in {each.user for each in lists.users}
    assert "User 3, " not in page_of(tmp_path / "home")


@pytest.mark.long
@pytest.mark.usefixtures("first")
def test_lists_that_cannot_be_made_do_not_fail_the_refresh(
    gateway: Neo4jGateway, refreshed: Refreshed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:

    def damaged(*_arguments: Any) -> bytes:
        raise SnapshotError("the arrays are damaged")

    monkeypatch.setattr(list_diff, "stored_parts", damaged)
    assert refreshed().versions == active(gateway) == {"hybrid": 2, "fastrp": 2}
    page = page_of(tmp_path / "home")
    assert "They could not be compared: SnapshotError: the arrays are damaged." in page
