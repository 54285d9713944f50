"""What the command line makes of failures."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from loaders.files import file_lock
from recsvc import cli
from tests.waiting import PATIENCE_SECONDS, until

WITHOUT = """
import sys
sys.modules[sys.argv[1]] = None
sys.argv = ["recsvc", *sys.argv[2:]]
from recsvc.cli import main
main()
"""


@pytest.mark.parametrize(
    ("module", "extra", "command"),
    [
        ("torch", "train", ["train", "lightgcn", "--data", "."]),
        pytest.param(
            "tzlocal", "train", ["schedule", "--cron", "0 3 * * *"], marks=pytest.mark.long
        ),
    ],
)
def test_what_an_extra_brings_is_named_with_it(module: str, extra: str, command: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, module, *command],
        capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert module in line
    assert f"pip install 'recsvc[{extra}]'" in line


@pytest.mark.parametrize(
    ("module", "extra"),
    [("torch_geometric.nn", "train"), ("mlflow", "mlflow"), ("neo4j", None), ("nothing", None)],
)
def test_the_extra_of_a_module(module: str, extra: str | None) -> None:
    assert cli._extra_of(module) == extra


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["batch-recommend", "--out", "lists.csv"], ".parquet or .jsonl"),
        (["explain", "u", "i", "--picture", "p.pdf"], ".svg or .png"),
        (["report", "--out", "report.json"], ".html"),
        (["report", "--out", "nowhere/report.html"], "is in no folder that is there"),
    ],
)
def test_a_file_of_another_form_is_refused_before_any_work(command: list[str], says: str) -> None:
    result = CliRunner().invoke(cli.app, command)
    assert result.exit_code == 2
    assert says in re.sub(r"[\s│]+", " ", result.stderr)


@pytest.mark.parametrize(
    "command",
    [["scenarios", "put", "made.json", "--name", " "], ["experiments", "put", " \t", "made.json"]],
)
def test_a_name_of_blanks_is_refused_before_any_work(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "made.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli.app, command)
    assert result.exit_code == 2
    assert "blanks only" in re.sub(r"[\s│]+", " ", result.stderr)


WAITING = """
import signal, sys, time
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # also where the tests run under nohup
from recsvc import cli
from recsvc.commands import database

def wait(*_, **__):
    try:
        print("begun", flush=True)
        time.sleep(60)
    finally:
        print("put right", flush=True)

database.local_neo4j = wait
sys.argv = ["recsvc", "db", "up"]
cli.main()
"""


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGINT,
        pytest.param(signal.SIGTERM, marks=pytest.mark.long),
        pytest.param(signal.SIGHUP, marks=pytest.mark.long),
    ],
)
def test_a_command_that_is_ended_puts_right_what_it_was_to_put_right(
    tmp_path: Path, number: signal.Signals
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", WAITING], env={**os.environ, "RECSVC_HOME": str(tmp_path)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout
    assert process.stdout.readline() == "begun\n"
    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, out, err) == (1, "put right\n", "recsvc: interrupted\n")


def test_what_nohup_ignores_stays_ignored(tmp_path: Path) -> None:
    with file_lock(tmp_path / "keys.json.lock"):
        process = subprocess.Popen(
            ["nohup", sys.executable, "-m", "recsvc", "keys", "create", "app", "--json"],
            env={**os.environ, "RECSVC_HOME": str(tmp_path)},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        waiting, lock = psutil.Process(process.pid), str(tmp_path / "keys.json.lock")
        until(lambda: lock in {file.path for file in waiting.open_files()})
        process.send_signal(signal.SIGHUP)
    assert process.communicate(timeout=PATIENCE_SECONDS)[0].startswith("{")


@pytest.mark.parametrize(
    "arguments", [("activate", "lightgcn", "9" * 21), ("refresh", "--seed", "9" * 21)]
)
def test_a_number_that_no_graph_holds_is_wrong_usage(arguments: tuple[str, ...]) -> None:
    assert CliRunner().invoke(cli.app, arguments).exit_code == 2
