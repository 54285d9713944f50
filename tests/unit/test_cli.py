"""What the command line makes of failures."""

import re
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from recsvc import cli

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
        ("apscheduler", "train", ["schedule", "--cron", "0 3 * * *"]),
    ],
)
def test_what_an_extra_brings_is_named_with_it(module: str, extra: str, command: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, module, *command],
        capture_output=True, text=True, timeout=60, check=False,
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
