"""Every command, as a person would run it, against a real Neo4j."""

import json
import re
import shutil
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import polars as pl
import pytest

from loaders.catalogue import Query

pytestmark = pytest.mark.neo4j

FOUND = Query(
    "tests/found", "Nodes of a user.", "read", {"user_id": "str"}, {"n": "int"},
    "MATCH (u:User {user_id: $user_id}) RETURN count(u) AS n",
)  # fmt: skip


@pytest.fixture
def environment(served):
    return served.environment


@pytest.fixture
def run(command):
    """Runs a command in this process: a new one takes seconds to import what it needs."""
    return lambda *arguments: CompletedProcess(arguments, *command(*arguments))


def _json(run, *arguments):
    done = run(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _arrays(folder):
    with np.load(folder / "graph.npz") as arrays:
        return dict(arrays)


def test_versions_lists_the_active_ones(run):
    versions = _json(run, "versions")["versions"]
    assert {(v["model"], v["status"]) for v in versions} == {
        ("hybrid", "active"), ("lightgcn", "active"), ("node2vec", "active"),
    }  # fmt: skip


def test_recommend_explain_and_similar_answer_alike(run):
    answer = _json(run, "recommend", "u1", "-k", "3")
    assert [item["rank"] for item in answer["items"]] == [1, 2, 3]
    first = answer["items"][0]
    explained = _json(run, "explain", "u1", first["item_id"])
    assert explained["score"] == pytest.approx(first["score"])
    assert explained["explanation"]["paths"]
    near = _json(run, "similar", first["item_id"], "-k", "4")
    assert len(near["items"]) == 4
    shown = run("recommend", "u1", "-k", "1").stdout
    assert first["title"] in shown
    assert first["explanation"]["text"] in re.sub(r"\s+", " ", shown)


def test_exposure_of_everybody_is_that_of_all_lists(run, tmp_path):
    lists = tmp_path / "lists.parquet"
    run("batch-recommend", "--out", str(lists), "-k", "5")
    places = pl.read_parquet(lists).group_by("item_id").len()["len"].to_list()
    document = _json(run, "exposure", "--users", "500", "-k", "5", "--property", "title")
    assert document["shown"]["places"] == 0
    exposure = document["answers"]
    assert (exposure["lists"], exposure["places"]) == (242, sum(places)) == (242, 242 * 5)
    items = sum(share["items"] for share in exposure["deciles"])
    assert exposure["coverage"] == pytest.approx(len(places) / items)
    every = np.array([0] * (items - len(places)) + places)
    apart = np.abs(every[:, None] - every).mean()
    assert exposure["gini"] == pytest.approx(apart / (2 * every.mean()))
    assert sum(share["places"] for share in exposure["deciles"]) == pytest.approx(1.0)
    # Each title is one item's.
    assert {share["items"] for share in exposure["by_value"].values()} == {1}
    assert "of places" in run("exposure", "--users", "3").stdout


def test_batch_recommend_equals_recommend(run, tmp_path):
    lists = tmp_path / "lists.parquet"
    assert _json(run, "batch-recommend", "--out", str(lists), "-k", "5")["users"] == 242
    table = pl.read_parquet(lists)
    for user in ("u1", "u77", "fan"):
        one = [item["item_id"] for item in _json(run, "recommend", user, "-k", "5")["items"]]
        assert table.filter(pl.col("user_id") == user)["item_id"].to_list() == one
    (tmp_path / "users.txt").write_text("u3\nu4\n")
    lines = tmp_path / "lists.jsonl"
    run("batch-recommend", "--out", str(lines), "--users", str(tmp_path / "users.txt"))
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    assert len(rows) == 40
    assert rows[0].keys() == {"user_id", "item_id", "rank", "score"}


def test_extract_gives_the_arrays_of_the_graph_twice_alike(run, tmp_path):
    reports = [_json(run, "extract", "--out", str(tmp_path / name)) for name in "ab"]
    assert reports[0]["relationships"]["FOLLOWS"] == 720
    assert reports[0]["relationships_per_second"] > 0
    one, two = (_arrays(tmp_path / name) for name in "ab")
    assert one.keys() == two.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], two[name])
    ids = pl.read_csv(tmp_path / "a" / "users.csv")["id"].to_list()
    assert ids == sorted(ids)


def _interactions(folder: Path) -> tuple[Path, Path]:
    rows = [f"a{u},{t}{n}" for t in "xyz" for u in range(9) for n in range(9) if (u + n) % 4]
    rows = [row.replace("a", row.split(",")[1][0] + "-") for row in rows]
    train = [row for n, row in enumerate(rows) if n % 7]
    test = [row for n, row in enumerate(rows) if n % 7 == 0]
    for name, part in (("interactions.csv", train), ("test.csv", test)):
        (folder / name).write_text("user_id,item_id\n" + "\n".join(part) + "\n")
    return folder / "interactions.csv", folder / "test.csv"


@pytest.mark.parametrize("model", ["popularity", "walk3"])
def test_evaluate_needs_no_database(run, tmp_path, model):
    train, test = _interactions(tmp_path)
    arguments = ("evaluate", model, "--train", str(train), "--test", str(test))
    out = tmp_path / "lists.csv"
    found = _json(run, *arguments, "--recommendations", str(out))
    metric = found["metrics"]["recall@5"]
    assert 0 <= metric["low"] <= metric["mean"] <= metric["high"] <= 1
    assert pl.read_csv(out).columns == ["user_id", "item_id", "rank", "score"]
    if model == "walk3":
        assert metric["mean"] > 0.8  # each letter is a taste of its own


@pytest.mark.long
@pytest.mark.slow
def test_evaluate_hybrid_refreshes_a_graph_of_its_own(served, run, tmp_path):
    rows = pl.read_csv(served.tables / "interactions.csv").with_row_index()
    held_out = pl.col("index") % 7 == 3
    rows.filter(~held_out).drop("index").write_csv(tmp_path / "interactions.csv")
    rows.filter(held_out).drop("index").write_csv(tmp_path / "test.csv")
    for name in ("follows", "item_categories", "items", "preferences"):
        (tmp_path / f"{name}.csv").write_text((served.tables / f"{name}.csv").read_text())
    files = ("--train", str(tmp_path / "interactions.csv"), "--test", str(tmp_path / "test.csv"))
    before = _json(run, "versions")["versions"]
    blend = _json(run, "evaluate", "hybrid", "--as-served", *files, "--side", str(tmp_path))
    popular = _json(run, "evaluate", "popularity", *files)
    assert blend["users"] == popular["users"] > 200
    assert blend["metrics"]["recall@10"]["low"] > 2 * popular["metrics"]["recall@10"]["high"]
    assert {"lightgcn", "node2vec", "item_user_item", "base"} <= set(blend["weights"])
    assert _json(run, "versions")["versions"] == before  # its own graph, not this one


def test_train_writes_arrays_and_a_manifest(run, tmp_path):
    _interactions(tmp_path)
    (tmp_path / "test.csv").unlink()
    out = tmp_path / "model"
    told = _json(run, "train", "lightgcn", "--data", str(tmp_path), "--out", str(out), "--set",
                 "dimensions=8", "--set", "epochs=5")  # fmt: skip
    with np.load(out / "model.npz", allow_pickle=False) as arrays:
        assert arrays["item_vectors"].shape == (27, 8)
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["options"]["dimensions"] == 8
    assert manifest["epochs"] == told["epochs"] <= 5


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("recommend", "nobody"), 1, "no user 'nobody' in the graph"),
        (("explain", "u1", "nothing"), 1, "no item 'nothing'"),
        (("similar", "i1", "--model", "magic"), 1, "no embedding model 'magic'"),
        (("ingest", "no-such-folder"), 1, "neither a folder of tables nor a named data set"),
        (("train", "magic"), 1, "no model 'magic'"),
        (("train", "lightgcn", "--set", "layers=99"), 1, "layers"),
        (("recommend", "u1", "-k", "0"), 2, "-k"),
        (("recommend",), 2, "Missing argument"),
        (("batch-recommend", "--out", "lists.txt"), 2, "ends in .parquet or .jsonl"),
    ],
)
def test_a_failure_is_one_line_and_its_code(run, arguments, code, says):
    done = run(*arguments)
    assert done.returncode == code
    assert done.stdout == ""
    assert says in re.sub(r"[\s│]+", " ", done.stderr)
    if code == 1:
        assert len(done.stderr.strip().splitlines()) == 1


def test_without_a_neo4j_a_command_says_what_to_do(served):
    done = served.run("versions", RECSVC_NEO4J_URI="bolt://127.0.0.1:1")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("recsvc: no Neo4j answers at bolt://127.0.0.1:1: ")
    assert "recsvc db up" in line
    assert served.address.password not in line


def test_two_refreshes_do_not_run_at_once(served, run, monkeypatch):
    from recsvc.refresh import lease

    monkeypatch.setattr(lease, "_BEATS", 150)  # a sign of life every two seconds
    quietly = {"force": False, "progress": lambda *_: None}
    with lease.held_lease(served.gateway, seconds=300.0, **quietly):
        done = served.run("refresh", RECSVC_REFRESH_LEASE_SECONDS="300")
    assert done.returncode == 1
    assert "another refresh is running" in done.stderr
    assert "--force" in done.stderr
    assert {v["status"] for v in _json(run, "versions")["versions"]} == {"active"}


def test_ingest_names_bad_rows_and_goes_on(served, run, tmp_path):
    table = "user_id,item_id,timestamp\nnew-a,i1,2020-01-01\n,i2,\nnew-b,i3,yesterday\n"
    (tmp_path / "interactions.csv").write_text(table)
    told = _json(run, "ingest", str(tmp_path))
    assert (told["tables"]["interactions"]["read"], told["rejected"]) == (3, 2)
    rejects = Path(told["rejects"]).read_text()
    assert "yesterday" in rejects
    strict = run("ingest", str(tmp_path), "--strict")
    assert strict.returncode == 1


def _there(served, user_id):
    return served.gateway.run(FOUND, user_id=user_id)[0]["n"]


def test_a_dry_run_counts_and_loads_nothing(served, run, tmp_path):
    (tmp_path / "items.csv").write_text("item_id\ni1\n")
    (tmp_path / "interactions.csv").write_text("user_id,item_id\ndry,i1\ndry,i0\n,i1\n")
    found = _json(run, "ingest", str(tmp_path), "--dry-run")
    table = found["tables"]["interactions"]
    assert (table["read"], table["rejected"], table["unlisted"]) == (3, 1, 1)
    assert _there(served, "dry") == 0
    strict = run("ingest", str(tmp_path), "--dry-run", "--strict")
    assert strict.returncode == 1
    assert "is missing" in strict.stderr


def test_other_names_are_mapped_and_a_glob_is_a_source(served, run, tmp_path):
    (tmp_path / "log-1.csv").write_text("visitorid;itemid\nmapped;i1\n")
    (tmp_path / "log-2.csv").write_text("visitorid;itemid\nmapped;i2\n")
    names = ("interactions=log", "interactions.user_id=visitorid", "interactions.item_id=itemid")
    mapped = [part for name in names for part in ("--map", name)]
    found = _json(run, "ingest", str(tmp_path / "log-*.csv"), *mapped)
    assert found["tables"]["interactions"]["written"] == 2
    assert _there(served, "mapped") == 1
    wrong = run("ingest", str(tmp_path), "--map", "follows.nobody=x")
    assert (wrong.returncode, "nobody" in wrong.stderr) == (1, True)


def test_a_bulk_import_is_for_the_neo4j_on_this_machine(served):
    refused = served.run("ingest", str(served.tables), "--bulk")
    assert refused.returncode == 1
    assert "RECSVC_NEO4J_URI" in refused.stderr


def test_a_part_of_the_graph(run, tmp_path):
    (tmp_path / "users.txt").write_text("u1\nu2\n")
    arguments = ("--users", str(tmp_path / "users.txt"), "--format", "parquet", "--k-core", "1")
    found = _json(run, "extract", "--out", str(tmp_path / "two"), *arguments)
    assert found["nodes"]["users"] == 2
    rows = pl.read_parquet(tmp_path / "two" / "interactions.parquet")
    assert set(rows["user_id"]) == {"u1", "u2"}
    late = _json(run, "extract", "--out", str(tmp_path / "since"), "--since", "lightgcn@1")
    assert late["relationships"]["INTERACTED"] == 0  # no interaction has a time
    unknown = run("extract", "--out", str(tmp_path / "x"), "--since", "lightgcn@99")
    assert (unknown.returncode, "recsvc versions" in unknown.stderr) == (2, True)


def test_the_report_is_printed_and_written_where_it_is_asked_for(served, run, tmp_path):
    page = tmp_path / "report.html"
    found = _json(run, "report", "--out", str(page))
    assert found["page"] == str(page)
    assert found["size"]
    assert "<svg" in page.read_text(encoding="utf-8")
    before = set(served.home.rglob("*"))
    shown = run("report").stdout
    assert "cold" in shown.lower()
    assert set(served.home.rglob("*")) == before  # nothing is written unasked: it names users


def test_a_deleted_user_is_gone(served, run):
    assert _json(run, "recommend", "u9", "-k", "1")["items"]
    unfinished = served.home / "refreshes" / "20261122T030000.000000Z-0a1b2c"
    unfinished.mkdir()
    (unfinished / "graph.npz").write_bytes(b"what users did")
    _json(run, "delete-user", "u9")
    assert not (unfinished / "graph.npz").exists()
    shutil.rmtree(unfinished)
    assert _there(served, "u9") == 0
    gone = run("delete-user", "u9")
    assert (gone.returncode, gone.stderr.count("\n")) == (1, 1)
    assert "u9" in gone.stderr
    shutil.rmtree(served.home / "snapshots", ignore_errors=True)
    assert _json(run, "recommend", "u10", "-k", "1")["items"]
