# pyright: basic
# mlflow is an extra: its types are not there without it.
"""Training runs in MLflow, for those who ask for it."""

import re
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recsvc.errors import SettingsError
from recsvc.models import EpochRecord
from recsvc.training.folder import MANIFEST, write_manifest

_EXPERIMENT = "recsvc"


def track(
    uri: str, manifest: Mapping[str, Any], histories: Mapping[str, Sequence[EpochRecord]]
) -> str:
    """Log options, the metrics of each epoch, the final metrics and the manifest.

    Args:
        uri: tracking URI, such as `http://mlflow.example.org:5000` or `sqlite:///mlflow.db`.
        manifest: what is known of the run.
        histories: the epochs of each fit, by what was fitted.

    Returns:
        The id of the run.

    Raises:
        SettingsError: mlflow is not installed, or the URI leads nowhere.
    """
    try:
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient
    except ImportError:
        raise SettingsError(
            f"tracking.mlflow_uri is {_without_secrets(uri)!r} and mlflow is not installed: "
            "pip install 'recsvc[mlflow]', or unset it"
        ) from None
    try:
        return _log(MlflowClient(tracking_uri=uri), manifest, histories)
    except MlflowException as error:
        raise SettingsError(_without_secrets(f"tracking.mlflow_uri {uri!r}: {error}")) from None


def _without_secrets(text: str) -> str:
    """A text without what may be secret in its addresses: log-ins and what follows a `?`."""
    return re.sub(r"\?[^\s'\"]+", "?…", re.sub(r"//[^/\s]*@", "//…@", text))


def _log(
    client: Any, manifest: Mapping[str, Any], histories: Mapping[str, Sequence[EpochRecord]]
) -> str:
    experiment = client.get_experiment_by_name(_EXPERIMENT)
    experiment_id = (
        experiment.experiment_id if experiment else client.create_experiment(_EXPERIMENT)
    )
    run_id = client.create_run(experiment_id, run_name=manifest["model"]).info.run_id
    for name, value in {"model": manifest["model"], **manifest["options"]}.items():
        client.log_param(run_id, name, value)
    for fit, records in histories.items():
        _log_epochs(client, run_id, fit.replace(" ", "_"), records)
    final = {**manifest["metrics"], "seconds": manifest["seconds"]}
    for name, value in final.items():
        client.log_metric(run_id, name.replace("@", "_at_"), value)
    with tempfile.TemporaryDirectory() as folder:
        write_manifest(Path(folder), manifest)
        client.log_artifact(run_id, str(Path(folder) / MANIFEST))
    client.set_terminated(run_id)
    return run_id


def _log_epochs(client: Any, run_id: str, fit: str, records: Sequence[EpochRecord]) -> None:
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    metrics = [
        Metric(f"{fit}_{name}", value, now, record.epoch)
        for record in records
        for name, value in (
            ("loss", record.loss),
            ("ndcg_at_20", record.metric),
            ("examples_per_second", record.examples_per_second),
        )
        if value is not None
    ]
    for begin in range(0, len(metrics), 1000):
        client.log_batch(run_id, metrics=metrics[begin : begin + 1000])
