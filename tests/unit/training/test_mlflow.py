"""Runs in a real MLflow store, a file on this disk."""

import builtins
import json
from pathlib import Path
from typing import Any

import pytest

from recsvc.errors import SettingsError
from recsvc.models import EpochRecord
from recsvc.training.mlflow import track

MANIFEST = {
    "model": "mf", "options": {"dimensions": 8, "loss": "bpr"}, "metrics": {"ndcg@20": 0.25},
    "seconds": 3.5, "seed": 0,
}  # fmt: skip
RECORDS = [EpochRecord(n, 1.0 / n, 0.1 * n if n > 1 else None, 100.0) for n in (1, 2, 3)]


# sqlalchemy and alembic, below mlflow, warn of what mlflow does.
@pytest.mark.filterwarnings("ignore")
def test_everything_of_a_run_is_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client_module = pytest.importorskip("mlflow.tracking", reason="the extra mlflow is not there")
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    first, second = (track(uri, MANIFEST, {"fit on a part": RECORDS}) for _ in range(2))
    assert first != second
    client = client_module.MlflowClient(tracking_uri=uri)
    run = client.get_run(second)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"model": "mf", "dimensions": "8", "loss": "bpr"}
    assert run.data.metrics["ndcg_at_20"] == 0.25
    assert run.data.metrics["seconds"] == 3.5
    loss = client.get_metric_history(second, "fit_on_a_part_loss")
    assert [(metric.step, metric.value) for metric in loss] == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    ndcg = client.get_metric_history(second, "fit_on_a_part_ndcg_at_20")
    assert [metric.step for metric in ndcg] == [2, 3]
    manifest = client.download_artifacts(second, "manifest.json", str(tmp_path))
    assert json.loads(Path(manifest).read_text()) == MANIFEST


@pytest.mark.filterwarnings("ignore")
def test_an_address_that_leads_nowhere_is_named() -> None:
    pytest.importorskip("mlflow.tracking", reason="the extra mlflow is not there")
    with pytest.raises(SettingsError, match=r"tracking.mlflow_uri 'nonsense://x'"):
        track("nonsense://x", MANIFEST, {})


def test_without_mlflow_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any, **named: Any) -> Any:
        if name.startswith("mlflow"):
            raise ImportError(name)
        return real(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(SettingsError, match=r"recsvc\[mlflow\]"):
        track("sqlite:///x.db", MANIFEST, {})
