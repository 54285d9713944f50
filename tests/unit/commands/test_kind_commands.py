"""Kinds of events without a weight, and pairs that are not to be found, as commands say them."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from recsvc.cli import app, main

runner = CliRunner()
ROWS = "user_id,item_id,event\na,i,borrowed\na,j,ADD-TO-CART\na,j,\nb,j,lent out\nb,i,borrowed\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RECSVC_HOME", str(tmp_path / "home"))
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "interactions.csv").write_text(ROWS)
    return tmp_path


def invoke(*arguments: str) -> Result:
    result = runner.invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return result


def told(*arguments: str) -> Any:
    return json.loads(invoke(*arguments, "--json").stdout)


def test_a_dry_run_names_kinds_without_a_weight_and_their_line() -> None:
    assert told("ingest", "tables", "--dry-run")["unknown_kinds"] == {
        "borrowed": {"rows": 2, "setting": "events.borrowed.weight = 1"},
        "lent out": {"rows": 1, "setting": 'events."lent out".weight = 1'},
    }
    said = " ".join(invoke("ingest", "tables", "--dry-run").stderr.split())
    assert "the kind of event 'borrowed' has no weight and counts nothing" in said
    assert "--event-weight 'lent out=WEIGHT'" in said
    assert "CART" not in said


def test_a_dry_run_counts_an_event_once(folder: Path) -> None:
    rows = "user_id,item_id,event_id\na,i,1\na,j,1\na,j,2\na,i,\na,i,\n"
    (folder / "tables" / "interactions.csv").write_text(rows)
    table = told("ingest", "tables", "--dry-run")["tables"]["interactions"]
    assert (table["read"], table["written"]) == (5, 3)


def test_a_dry_run_takes_a_weight_and_writes_none(folder: Path) -> None:
    found = told("ingest", "tables", "--dry-run", "--event-weight", "Borrowed=1")
    assert list(found["unknown_kinds"]) == ["lent out"]
    assert not (folder / "recsvc.toml").exists()


def test_the_line_that_is_named_gives_the_weight(folder: Path) -> None:
    lines = [
        each["setting"] for each in told("ingest", "tables", "--dry-run")["unknown_kinds"].values()
    ]
    (folder / "recsvc.toml").write_text("\n".join([*lines, "[events.view]", "weight = 0.02"]))
    assert tomllib.loads((folder / "recsvc.toml").read_text())["events"]["view"]["weight"] == 0.02
    assert told("ingest", "tables", "--dry-run")["unknown_kinds"] == {}


@pytest.mark.parametrize(
    ("tables", "says"),
    [
        (
            {"interactions": "user_id,item_id,value\na,i,x\n,i,1\n"},
            "every row of interactions is rejected (2): the first is interactions.csv, line 2, "
            "column value: 'x' is not a finite number",
        ),
        (
            {"interactions": "user_id,item_id\na,i\n", "items": "item_id\n\nNULL\n"},
            "every row of items is rejected (1): the first is items.csv, line 3",
        ),
        ({"interactions": "user_id,item_id\n"}, "interactions of tables holds no row"),
        (
            {"interactions": "user_id,item_id\na,i\n", "follows": "follower_id,followee_id\n"},
            "follows of tables holds no row: expected some below the header: leave the file out",
        ),
    ],
)
def test_a_table_of_no_use_fails_a_dry_run(
    folder: Path, tables: dict[str, str], says: str, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for name, text in tables.items():
        (folder / "tables" / f"{name}.csv").write_text(text)
    monkeypatch.setattr("sys.argv", ["recsvc", "ingest", "tables", "--dry-run", "--json"])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    assert ended.value.code == 1
    assert said.err.splitlines()[-1].startswith(f"recsvc: {says}")
    assert set(json.loads(said.out)["tables"]) == set(tables)


def test_a_dry_run_shows_how_a_file_is_read_and_touches_no_graph(folder: Path) -> None:
    (folder / "sales.csv").write_text(
        "Invoice,StockCode,Quantity,InvoiceDate,CustomerID\n"
        "1,A,6,12/1/2010 8:26,17850\n1,POST,1,12/1/2010 8:26,17850\nC2,A,-6,12/2/2010 9:00,\n"
    )
    refused = runner.invoke(app, ["ingest", "sales.csv", "--dry-run"])
    options = str(refused.exception).partition("looks like timestamp: ")[2]
    assert options.count("--map") == 4
    arguments = [
        "ingest", "sales.csv", *options.split(), "--null", "interactions.StockCode=POST",
        "--date-format", "%m/%d/%Y %H:%M", "--event", "purchase", "--dry-run",
    ]  # fmt: skip
    found = told(*arguments)
    assert found["example"] == {"interactions": {
        "user_id": "17850", "item_id": "A", "event": "purchase", "value": 6.0,
        "timestamp": "2010-12-01T08:26:00+00:00", "event_id": None, "Invoice": "1",
    }}  # fmt: skip
    assert [(each["rows"], each["column"]) for each in found["reasons"]] == [
        (1, "StockCode"), (1, "CustomerID"),
    ]  # fmt: skip
    shown = invoke(*arguments)
    for word in ("17850", "2010-12-01 08:26", "sales.csv, line 3, column StockCode: 'POST'"):
        assert word in " ".join(shown.stdout.replace("│", " ").split())
    assert not (folder / "home" / "neo4j").exists()


def test_what_a_warning_names_can_be_pasted(folder: Path) -> None:
    (folder / "tables" / "items.csv").write_text(f"item_id,name\ni,{'Lamp ' * 30}\n")
    (folder / "tables" / "interactions.csv").write_text("user_id,item_id,InvoiceDate\na,i,1\n")
    said = invoke("ingest", "tables", "--dry-run").stderr.splitlines()
    assert any(line.endswith("--map items.title=name") for line in said)
    assert any(line.endswith("--map interactions.timestamp=InvoiceDate") for line in said)


def test_evaluate_says_what_of_the_test_table_is_not_to_be_found(folder: Path) -> None:
    train = ["user_id,item_id", *(f"u{u},i{(u + n) % 9}" for u in range(9) for n in range(5))]
    (folder / "train.csv").write_text("\n".join(train) + "\n")
    (folder / "test.csv").write_text(
        "user_id,item_id,event\nu0,i8,\nu0,i0,\nu0,i7,return\nu0,new,\nu1,i8,borrowed\nx,i0,\n"
    )
    files = ("popularity", "--train", "train.csv", "--test", "test.csv", "--device", "cpu")
    evaluated = told("evaluate", *files)
    assert evaluated["test"] == {
        "to_find": 2, "unknown_items": 1, "unknown_users": 1, "in_train": 1, "against": 1,
        "without_weight": 1,
    }  # fmt: skip
    assert (evaluated["users"], evaluated["unknown_kinds"]) == (1, ["borrowed"])
    assert evaluated["metrics"]["recall@50"]["mean"] == 0.5
    said = " ".join(invoke("evaluate", *files).stderr.split())
    assert (
        "of the test table 2 pairs were to be found, 1 of them with items that train lacks, which "
        "are missed; left out: 1 of users who are not in the training table, 1 that are in the "
        "training table too, 1 that speak against the item, 1 that count nothing"
    ) in said
