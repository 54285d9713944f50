"""`train`, `evaluate` and `tune` on tables alone, as a person would run them."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from recsvc.cli import app
from recsvc.commands._shared import device_of
from recsvc.errors import RecsvcError
from recsvc.training.published import data_sha256
from tests.faults.small_disk import largest_file
from tests.unit.made_tables import training_graph, write_tables

QUICK = ("--set", "dimensions=8", "--set", "epochs=4", "--set", "learning_rate=0.05")
runner = CliRunner()


@pytest.fixture
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which commands are started, with only the training table in `data`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RECSVC_HOME", str(tmp_path / "home"))
    write_tables(tmp_path)
    (tmp_path / "data").mkdir()
    table = (tmp_path / "interactions.csv").read_text()
    (tmp_path / "data" / "interactions.csv").write_text(table)
    return tmp_path


def invoke(*arguments: str) -> Result:
    return runner.invoke(app, [*arguments, "--device", "cpu"])


def told(*arguments: str) -> Any:
    result = invoke(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def failure(*arguments: str) -> str:
    """The one line of an expected failure."""
    error = invoke(*arguments).exception
    assert isinstance(error, RecsvcError)
    return str(error)


FILES = ("--train", "interactions.csv", "--test", "test.csv")


@pytest.mark.usefixtures("tables")
def test_train_writes_a_whole_run() -> None:
    document = told("train", "mf", "--data", "data", "--out", "run", *QUICK)
    manifest = json.loads(Path("run/manifest.json").read_text())
    assert sorted(path.name for path in Path("run").iterdir()) == [
        "items.csv", "manifest.json", "model.npz", "report.html", "users.csv",
    ]  # fmt: skip
    assert not Path("run.unfinished").exists()
    assert manifest["options"]["dimensions"] == 8
    assert manifest["epochs"] == document["epochs"] <= 4
    assert manifest["data"]["sha256"] == data_sha256(training_graph(Path("data")))
    assert manifest["environment"]["cpu_count"] == os.cpu_count()
    part = manifest["history"]["fit on a part"]
    assert [record["epoch"] for record in part] == list(range(1, len(part) + 1))
    # The whole validation part is no larger than what training watches here.
    assert manifest["metrics"]["ndcg@20"] == pytest.approx(max(r["metric"] for r in part))
    page = Path("run/report.html").read_text()
    assert "Training of mf" in page
    assert page.count("<svg") == 2
    assert "NDCG@20 on the validation part by epoch" in page


@pytest.mark.parametrize("rows", ["", "u,i,x\n,i,1\n"])
def test_train_needs_an_interaction(tables: Path, rows: str) -> None:
    (tables / "data" / "interactions.csv").write_text(f"user_id,item_id,value\n{rows}")
    says = "there is no interaction for mf to learn from: ingest a table of them, or name one"
    assert failure("train", "mf", "--data", "data").startswith(says)


@pytest.mark.usefixtures("tables")
def test_train_says_what_memory_it_takes_and_what_there_is() -> None:
    said = re.sub(r"\s+", " ", invoke("train", "walk3", "--data", "data").stderr)
    assert re.search(r"arrays of walk3 take about [\d,]+ MiB of the [\d,]+ MiB free on cpu", said)


@pytest.mark.usefixtures("tables")
def test_a_model_without_epochs_has_a_page_without_curves() -> None:
    told("train", "walk3", "--data", "data", "--out", "run")
    page = Path("run/report.html").read_text()
    assert "<svg" not in page
    assert "not trained in epochs" in page


@pytest.mark.long
@pytest.mark.usefixtures("tables")
def test_ctrl_c_keeps_a_model_and_resume_goes_on() -> None:
    common = ("--data", "data", "--set", "dimensions=8", "--set", "patience=100000")
    arguments = ("train", "mf", *common, "--set", "epochs=10000", "--out", "run", "--device", "cpu")
    # Started in the background, this process ignores Ctrl-C, and so would the one it starts.
    ours = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        [sys.executable, "-m", "recsvc", *arguments], stderr=subprocess.PIPE, text=True,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    signal.signal(signal.SIGINT, ours)
    with process:
        try:
            deadline = time.monotonic() + 600
            while not Path("run.unfinished/part.npz").exists():
                assert time.monotonic() < deadline
                assert process.poll() is None
                time.sleep(0.1)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=600)
        finally:
            process.kill()
    assert process.returncode == 0, said
    assert "best model so far is kept in run; --resume goes on" in re.sub(r"\s+", " ", said)
    manifest = json.loads(Path("run/manifest.json").read_text())
    assert manifest["interrupted"]
    assert np.load("run/model.npz", allow_pickle=False)["item_vectors"].shape == (60, 8)
    assert "unfinished run" in failure(*arguments[:-2])
    assert "another options" in failure(
        *arguments[:-4], "--out", "run", "--resume", "--set", "l2=1"
    )


@pytest.mark.usefixtures("tables")
def test_a_disk_that_is_full_anywhere_leaves_nothing_half_made() -> None:
    """Epochs that were written are gone on from; else neither a folder nor a file stays."""
    small = ("--set", "dimensions=1", "--set", "epochs=2")  # checkpoints smaller than the page
    command = ("train", "mf", "--data", "data", "--out", "run", *small)
    ends: set[str] = set()
    for size in (0, 100, 1_000, 20_000, 100_000):
        with largest_file(size):
            result = invoke(*command)
        if result.exit_code == 0:
            break
        left = sorted(path.name for path in Path().glob("run*"))
        assert "File too large" in str(result.exception)
        if isinstance(result.exception, OSError):
            assert left == []
        else:
            assert "--resume goes on" in str(result.exception)
            assert left == ["run.unfinished"]
            assert {path.name for path in Path("run.unfinished").iterdir()} <= {
                "run.json", "part.npz", "fit.npz",
            }  # fmt: skip
            if "--resume" not in command:
                command += ("--resume",)
        ends.add(type(result.exception).__name__)
    assert result.exit_code == 0, result.output
    assert ends == {"OSError", "TrainingError"}
    assert [path.name for path in Path().glob("run*")] == ["run"]


@pytest.mark.usefixtures("tables")
def test_evaluate_two_models_prints_the_difference() -> None:
    document = told("evaluate", "walk3", "popularity", *FILES, "--trials", "2")
    walk, popular = (document["models"][name]["metrics"] for name in ("walk3", "popularity"))
    difference = document["difference"]
    assert difference.keys() == walk.keys() == popular.keys()
    assert len(difference) == 36
    for name, estimate in difference.items():
        assert estimate["mean"] == pytest.approx(walk[name]["mean"] - popular[name]["mean"])
        assert estimate["low"] <= estimate["mean"] <= estimate["high"]
    shown = invoke("evaluate", "walk3", "popularity", *FILES, "--trials", "2").stdout
    (group,) = document["models"]["walk3"]["by_items_known"]
    assert (group["group"], group["users"], group["best_part"]) == ("7 to 14", 90, None)
    items = document["models"]["walk3"]["by_people"]
    assert sum(each["model"]["places"] for each in items) == pytest.approx(1.0)
    assert "walk3 - popularity" in shown
    assert f"{round(difference['recall@20']['mean'], 4):.4g}" in shown


@pytest.mark.usefixtures("tables")
def test_evaluate_several_models_makes_one_table_and_one_page() -> None:
    models = ("walk3", "popularity", "itemknn")
    arguments = ("evaluate", *models, *FILES, "--trials", "1")
    document = told(*arguments, "--page", "page.html")
    assert "difference" not in document
    assert [(c["first"], c["second"], c["metric"]) for c in document["comparisons"]] == [
        (*pair, metric) for pair in combinations(models, 2) for metric in ("ndcg@20", "recall@20")
    ]
    means = {name: document["models"][name]["metrics"]["ndcg@20"]["mean"] for name in models}
    for each in document["comparisons"][::2]:
        apart = means[each["first"]] - means[each["second"]]
        assert each["difference"]["mean"] == pytest.approx(apart)
        assert each["corrected"] >= each["p"]
        assert each["significant"] == (each["corrected"] < 0.05)
    page = Path("page.html").read_text()
    assert "Evaluation of walk3, popularity, itemknn" in page
    assert page.count("<svg") == 1 + 11 + 2 + 2 + 4
    shown = invoke(*arguments).stdout
    for mean in means.values():
        assert f"{mean:.4f}".rstrip("0") in shown
        assert f"{mean:.4f}".rstrip("0") in page
    for name in models:
        group = document["models"][name]["by_people"][-1]
        for what in ("recall", "places"):
            assert f">{round(group['model'][what], 4):.4g}</td>" in page


@pytest.mark.long
@pytest.mark.usefixtures("tables")
def test_one_model_has_a_page_and_no_comparisons() -> None:
    document = told("evaluate", "popularity", *FILES, "--page", "page.html")
    assert document["gini"]["20"] > 0.0
    assert 0.0 < document["metrics"]["diversity@20"]["mean"] < 1.0
    assert {"by_people", "cold_users", "cold_items"} <= document.keys()
    page = Path("page.html").read_text()
    assert "p by Holm" not in page
    shown = invoke("evaluate", "popularity", *FILES).stdout
    assert f"{document['gini']['50']:.4f}" in shown
    assert "popularity, ndcg@20 of cold and warm users" in shown


@pytest.mark.usefixtures("tables")
def test_evaluate_twice_gives_the_same_numbers() -> None:
    arguments = ("evaluate", "mf", *FILES, *QUICK, "--seed", "5")
    first, again = (told(*arguments) for _ in range(2))
    assert first["metrics"] == again["metrics"]
    assert first["coverage"] == again["coverage"]
    assert {"model", "users", "metrics", "coverage", "epochs", "options", "total_seconds"} <= set(
        first
    )


@pytest.mark.usefixtures("tables")
def test_the_published_protocol_names_what_is_shipped() -> None:
    said = failure("evaluate", "walk3", *FILES, "--protocol", "published")
    assert "Gowalla" in said
    assert "--protocol validated" in said


@pytest.mark.parametrize("text", ["user_id,item_id\n1,2\n", "5\n6\n"])
def test_tune_names_a_file_that_holds_no_trials_and_leaves_it(tables: Path, text: str) -> None:
    (tables / "other.log").write_text(text)
    said = failure("tune", "walk3", "--train", "interactions.csv", "--study", "other.log")
    assert "other.log holds no trials" in said
    assert (tables / "other.log").read_text() == text


@pytest.mark.usefixtures("tables")
def test_tune_goes_on_and_its_arguments_are_taken() -> None:
    arguments = ("tune", "walk3", "--train", "interactions.csv", "--study", "study.log")
    first = told(*arguments, "--trials", "2")
    again = told(*arguments, "--trials", "4", "--sampler", "random")
    assert again["trials"][:2] == first["trials"]
    assert len(again["trials"]) == 4
    other = told("tune", "walk3", "--train", "interactions.csv", "--trials", "2", "--seed", "1")
    assert other["trials"][1]["values"] != first["trials"][1]["values"]
    best = max(again["trials"], key=lambda trial: trial["ndcg"])
    assert again["best"] == best
    given = again["arguments"].split()
    chosen = told("evaluate", "walk3", *FILES, *given, "--trials", "1")["options"]
    assert chosen == again["options"]
    said = invoke(*arguments, "--trials", "4").stdout
    assert "--set alpha=" in said
    assert tomllib.loads(said[said.index("[models.walk3]") :])["models"] == {
        "walk3": {name: again["options"][name] for name in again["best"]["values"]}
    }


def test_what_tune_wrote_is_what_train_and_evaluate_take(tables: Path) -> None:
    (tables / "recsvc.toml").write_text("# mine\nport = 8001\n")
    tuned = told("tune", "walk3", "--train", "interactions.csv", "--trials", "3", "--write")
    text = (tables / "recsvc.toml").read_text()
    assert text.startswith("# mine\nport = 8001\n")
    assert set(tomllib.loads(text)["models"]["walk3"]) == set(tuned["best"]["values"])
    assert told("evaluate", "walk3", *FILES, "--trials", "1")["options"] == tuned["options"]
    own = ("--set", "alpha=0.25")
    assert told("evaluate", "walk3", *FILES, "--trials", "1", *own)["options"]["alpha"] == 0.25
    assert told("train", "walk3", "--data", "data")["options"] == tuned["options"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[models.nothing]\nalpha = 1", "'models.nothing': there is no such model"),
        (
            "[models.mf]\nlayers = 1",
            "mf.layers=1: there is no such option: expected one of epochs,",
        ),
        ("[models.mf]\nepochs = 0", "mf.epochs=0: Input should be greater than"),
        ("[refresh]\nrow_size = 1", "'refresh.row_size' = 1: Input should be greater"),
        ("[refresh]\nlayers = 1", "'refresh.layers' = 1: there is no such option"),
        ("[refresh.options.mf]\nepochs = 1", "options of a model go into"),
    ],
)
def test_an_option_that_is_none_stops_a_command(tables: Path, text: str, says: str) -> None:
    (tables / "recsvc.toml").write_text(text)
    for command in (("refresh",), ("evaluate", "hybrid", *FILES), ("train", "hybrid")):
        assert says in failure(*command)


def test_a_blend_takes_what_is_set_of_it_and_of_its_models(tables: Path) -> None:
    (tables / "recsvc.toml").write_text(
        "[refresh]\nmodels = ['ridge', 'walk3']\nvalidation_users = 20\nsimilar_items = 3\n"
        "[models.walk3]\nalpha = 0.3\n[models.lightgcn]\nlayers = 1\n"
    )
    options = told("evaluate", "hybrid", *FILES, "--set", "walk3.beta=0.2")["options"]
    assert options["models"] == ["ridge", "walk3"]
    assert options["validation_users"] == 20
    assert options["options"] == {"walk3": {"alpha": 0.3, "beta": "0.2"}}
    of_one = told("evaluate", "hybrid", *FILES, "--set", "models=ridge")["options"]
    assert (of_one["models"], of_one["options"]) == (["ridge"], {})


@pytest.mark.usefixtures("tables")
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("evaluate", "walk3", "mf", "walk3", *FILES), "expected one model, or different ones"),
        (("evaluate", "walk3", *FILES, "--page", "page.pdf"), "ends in .html"),
        (("tune", "walk3", "--train", "interactions.csv", "--study", "study.csv"), "ends in .log"),
        (("evaluate", "walk3", "mf", *FILES, "--recommendations", "x.csv"), "name one"),
        (("evaluate", "walk3", *FILES, "--recommendations", "x.tsv"), ".jsonl or .json"),
        (("evaluate", "walk3", *FILES, "--recommendations", "no/x.csv"), "in no folder"),
        (("evaluate", "walk3", *FILES, "--as-served"), "hybrid alone"),
        (("evaluate", "walk3", *FILES, "--protocol", "magic"), "magic"),
        (("train", "walk3", "--data", "data", "--resume"), "name the folder"),
    ],
)
def test_wrong_usage_is_told(arguments: tuple[str, ...], says: str) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert says in re.sub(r"[\s│]+", " ", result.stderr)


@pytest.mark.parametrize(("there", "device"), [(True, "cuda"), (False, "cpu")])
def test_a_gpu_is_taken_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch, there: bool, device: str
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: there)
    assert device_of(None) == device
    assert device_of("cpu") == "cpu"
