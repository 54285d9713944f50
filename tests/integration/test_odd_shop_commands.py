"""Every command on the odd shop, held against its tables."""

import csv
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from loaders.catalogue import Query
from tests.integration.conftest import ODD, OddServed
from tests.odd_shop import OddShop, number

pytestmark = pytest.mark.neo4j

USERS_FOR_ONE = ("a/b", "%41", "..", "😀", "דּוּ", "x" * 200, "only returns", "u12")
NAMED = Query(
    "tests/named", "", "read", {"user_id": "str"}, {},
    "MATCH (n) WHERE n.user_id = $user_id RETURN count(n) AS n",
)  # fmt: skip

Run = Callable[..., tuple[int, str, str]]
Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def run(odd: OddServed) -> Run:
    """Runs a command in this process: its exit code, stdout and stderr."""

    def done(*arguments: str) -> tuple[int, str, str]:
        told = odd.served.run(*arguments)
        return told.returncode, told.stdout, told.stderr

    return done


@pytest.fixture
def ask(run: Run) -> Ask:
    """The document of a command that is done."""

    def document(*arguments: str) -> dict[str, Any]:
        code, out, err = run(*arguments, "--json")
        assert code == 0, (arguments, err)
        return json.loads(out)

    return document


def test_the_same_tables_again_change_nothing(odd: OddServed, ask: Ask) -> None:
    count = Query("tests/sum", "", "read", {}, {},
                  "MATCH (:User)-[r:INTERACTED]->() RETURN count(r) AS n, sum(r.weight) AS weight, "
                  "sum(r.count) AS count")  # fmt: skip
    before = odd.served.gateway.run(count)
    assert before[0]["count"] == len(odd.shop.events)
    ask("ingest", str(odd.shop.folder))
    assert odd.served.gateway.run(count) == before


def test_recommend_and_explain_answer_odd_ids(odd: OddServed, ask: Ask, run: Run) -> None:
    for user in USERS_FOR_ONE:
        answer = ask("recommend", user, "-k", "500")
        found = [item["item_id"] for item in answer["items"]]
        assert answer["user_id"] == user
        assert set(found) == odd.shop.eligible(user), user
        assert len(found) == len(set(found))
        first = answer["items"][0]
        explained = ask("explain", user, first["item_id"])
        assert explained["score"] == pytest.approx(first["score"], rel=1e-4)
        assert sum(explained["signals"].values()) == pytest.approx(explained["score"], rel=1e-4)
    code, out, err = run("recommend", "a/b", "-k", "3")
    assert (code, err) == (0, "")
    assert "a/b" in out
    code, out, err = run("explain", "..", "i5")
    assert (code, err) == (0, "")


def test_similar_never_names_what_is_hidden(odd: OddServed, ask: Ask) -> None:
    for item in ("i1", "i10", "i84", "i88"):
        answer = ask("similar", item, "-k", "500")
        found = [each["id"] for each in answer["items"]]
        assert len(found) == len(set(found))
        assert set(found) <= odd.shop.titles.keys() - odd.shop.hidden - {item}


def test_batch_recommend_gives_everybody_what_they_may_have(
    odd: OddServed, ask: Ask, tmp_path: Path
) -> None:
    lists = tmp_path / "lists.parquet"
    told = ask("batch-recommend", "--out", str(lists), "-k", "100")
    assert told["users"] == len(odd.shop.users)
    items_of_user: dict[str, list[str]] = {}
    for user, item in pl.read_parquet(lists).sort("user_id", "rank").select(
        "user_id", "item_id"
    ).iter_rows():  # fmt: skip
        items_of_user.setdefault(user, []).append(item)
    for user in odd.shop.users:
        items = items_of_user.get(user, [])
        assert set(items) == odd.shop.eligible(user), user
        assert len(items) == len(set(items))
        if (parity := odd.shop.parity(user)) is not None:
            assert sum(number(item) % 2 == parity for item in items[:10]) >= 8
    some = tmp_path / "users.txt"
    some.write_text("\n".join(odd.shop.odd), encoding="utf-8")
    lines = tmp_path / "lists.jsonl"
    ask("batch-recommend", "--out", str(lines), "--users", str(some), "-k", "5")
    rows = [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()]
    for user in odd.shop.odd:
        assert [row["item_id"] for row in rows if row["user_id"] == user] == items_of_user[user][:5]


def test_a_file_of_users_is_read_whole_or_refused_in_one_line(
    odd: OddServed, ask: Ask, run: Run, tmp_path: Path
) -> None:
    file = tmp_path / "users.txt"
    ways = (
        ("extract", "--out", str(tmp_path / "graph"), "--users", str(file)),
        ("batch-recommend", "--out", str(tmp_path / "lists.jsonl"), "--users", str(file)),
    )
    for way in ways:
        # An id may hold what other programs take for the end of a line.
        file.write_bytes("\ufeff01\r\nÜnal\r\n\r\nu4\r\n".encode())
        told = ask(*way)
        assert (told["nodes"]["users"] if way[0] == "extract" else told["users"]) == 3
        for content, said in (
            (b"u4\nu40000\n", "1 of 2 users are not in the graph, the first is 'u40000'"),
            ("u4\nÜnal\n".encode("latin-1"), "users.txt is not UTF-8"),
            (None, "users.txt"),
        ):
            file.unlink() if content is None else file.write_bytes(content)
            code, out, err = run(*way)
            assert (code, out) == (1, ""), way
            (line,) = err.splitlines()  # nothing of the graph was read
            assert said in line


def test_what_explain_prints_can_be_pasted(odd: OddServed, ask: Ask, run: Run) -> None:
    item = ask("recommend", "u4", "-k", "1")["items"][0]["item_id"]
    expected = ask("explain", "u4", item)["explanation"]["cypher"]
    _, out, _ = run("explain", "u4", item)
    printed = out.partition("Draw it in Neo4j Browser:\n")[2].removesuffix("\n")
    assert printed == expected
    assert max(map(len, printed.splitlines())) > 80
    drawn = Query("tests/pasted", "", "read", {}, {}, printed)
    assert odd.served.gateway.run(drawn)


def test_an_item_that_the_user_has_is_named_as_its_own_evidence(
    odd: OddServed, ask: Ask, run: Run
) -> None:
    for item in sorted(odd.shop.items["u4"]):
        told = ask("explain", "u4", item)["explanation"]["contributions"]
        own = sum((e["evidence"]["kind"], e["evidence"]["id"]) == ("item", item) for e in told)
        if own:
            break
    assert own
    code, out, _ = run("explain", "u4", item)
    assert code == 0
    assert "You know it already." in out
    assert out.count("the item itself") == own


def test_report_counts_what_the_tables_hold(odd: OddServed, ask: Ask, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    told = ask("report", "--out", str(page))
    text = json.dumps(told)
    expected = odd.shop.kinds
    assert expected.total() == len(odd.shop.interactions)
    for kind, count in expected.items():
        assert kind in text, told
        assert str(count) in text, kind
    assert page.read_text(encoding="utf-8").startswith("<!")


def test_extract_has_every_user_item_and_pair(odd: OddServed, ask: Ask, tmp_path: Path) -> None:
    told = ask("extract", "--out", str(tmp_path / "graph"))
    assert told["relationships"]["INTERACTED"] == len(odd.shop.interactions)
    assert told["relationships"]["FOLLOWS"] == len(odd.shop.follows)
    for name, expected in (("users", odd.shop.users), ("items", odd.shop.titles)):
        with (tmp_path / "graph" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            assert [row["id"] for row in csv.DictReader(file)] == sorted(expected)


def test_train_and_evaluate_on_the_tables(odd: OddServed, ask: Ask, tmp_path: Path) -> None:
    shop = odd.shop
    out = tmp_path / "model"
    ask("train", "walk3", "--data", str(clean(shop, tmp_path / "all")), "--out", str(out))
    assert np.load(out / "model.npz", allow_pickle=False).files
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["options"] is not None
    train, test, held_out = split(shop, tmp_path)
    lists = tmp_path / "lists.csv"
    told = ask("evaluate", "walk3", "--train", str(train), "--test", str(test), "--set",
               "beta=0.5", "--recommendations", str(lists))  # fmt: skip
    rows = pl.read_csv(lists, infer_schema_length=0)
    found = rows.with_columns(pl.col("rank").cast(int)).filter(pl.col("rank") <= 10)
    top: dict[str, set[str]] = {}
    for user, item in found.select("user_id", "item_id").iter_rows():
        top.setdefault(user, set()).add(item)
    recall = [len(items & top.get(user, set())) / len(items) for user, items in held_out.items()]
    assert told["users"] == len(held_out)
    assert told["metrics"]["recall@10"]["mean"] == pytest.approx(sum(recall) / len(recall))


def clean(shop: OddShop, folder: Path) -> Path:
    """The rows that can be taken, as a table of their own."""
    folder.mkdir()
    with (folder / "interactions.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["user_id", "item_id", "event", "timestamp", "value"])
        writer.writerows([e.user_id, e.item_id, e.kind, e.at.isoformat(), e.value]
                         for e in shop.events)  # fmt: skip
    return folder


def split(shop: OddShop, folder: Path) -> tuple[Path, Path, dict[str, set[str]]]:
    """Every fifth pair of those with six items or more held out, of items others still have."""
    held_out: dict[str, set[str]] = {}
    left = Counter(item for items in shop.items.values() for item in items)
    for user, items in shop.items.items():
        if shop.parity(user) is None:
            continue
        for item in sorted(items, key=number)[::5]:
            if left[item] > 2:
                left[item] -= 1
                held_out.setdefault(user, set()).add(item)
    for name, of in {"train": False, "test": True}.items():
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["user_id", "item_id"])
            writer.writerows(
                (user, item)
                for user, items in shop.items.items()
                for item in sorted(items)
                if (item in held_out.get(user, ())) == of
            )
    return folder / "train.csv", folder / "test.csv", held_out


def test_versions_are_those_of_the_refresh(odd: OddServed, ask: Ask) -> None:
    versions = ask("versions")["versions"]
    active = {each["model"]: each["version"] for each in versions if each["status"] == "active"}
    assert active == dict(odd.served.report.versions)


@pytest.mark.long
def test_a_second_refresh_serves_as_the_first_did(odd: OddServed, ask: Ask) -> None:
    models = [part for name in ODD.models for part in ("--model", name)]
    told = ask("refresh", *models)
    assert told["versions"] == dict.fromkeys(odd.served.report.versions, 2)
    found = [item["item_id"] for item in ask("recommend", "01", "-k", "500")["items"]]
    assert set(found) == odd.shop.eligible("01")
    assert ask("rollback", "hybrid")["versions"] == odd.served.report.versions
    assert ask("activate", "hybrid", "2")["versions"] == told["versions"]


# --- last, since it changes the graph -----------------------------------------------------------


def test_delete_user_takes_odd_ids_and_nobody_else(odd: OddServed, ask: Ask, run: Run) -> None:
    gone = ("a/b", "..", "%41", "Ünal")
    for user in gone:
        assert odd.served.gateway.run(NAMED, user_id=user)[0]["n"] == 1
        ask("delete-user", user)
        assert odd.served.gateway.run(NAMED, user_id=user)[0]["n"] == 0
        assert run("recommend", user)[0] == 1
    for user in set(odd.shop.users) - set(gone):
        assert odd.served.gateway.run(NAMED, user_id=user)[0]["n"] == 1
