"""What a model leaves open is resolved once in a refresh: both of its fits are alike."""

import json
from pathlib import Path
from typing import Any

import pytest

from loaders.catalogue import Query
from loaders.gateway import Neo4jGateway
from loaders.ingest import ingest
from loaders.local_neo4j import DEFAULT_LINE
from loaders.tables import FolderTables
from recsvc.models import FitRun, ModelOptions, ModelSpec, TrainingData
from recsvc.refresh.options import RefreshOptions, refresh_options
from recsvc.refresh.pipeline import refresh
from recsvc.settings import load_settings

pytestmark = pytest.mark.neo4j


@pytest.mark.parametrize("neo4j_line", [DEFAULT_LINE], indirect=True)
def test_the_fit_for_validation_and_the_last_one_take_the_same_options(
    gateway: Neo4jGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [f"u{user},i{(user + 3 * item) % 20}" for user in range(30) for item in range(8)]
    (tmp_path / "interactions.csv").write_text("user_id,item_id\n" + "\n".join(rows))
    ingest(gateway, FolderTables(tmp_path), rejects=tmp_path / "rejects.csv", strict=True)
    resolved: list[ModelOptions] = []
    fits: list[tuple[ModelOptions, bool]] = []
    resolve, fit = ModelSpec.resolved, ModelSpec.fit

    def recorded_resolve(
        spec: ModelSpec, data: TrainingData, options: ModelOptions, *more: Any
    ) -> ModelOptions:
        # Not what either fit would choose by itself.
        chosen = resolve(spec, data, options, *more).model_copy(
            update={"l2": 0.7, "popularity": 0.1}
        )
        resolved.append(chosen)
        return chosen

    def recorded_fit(spec: ModelSpec, data: TrainingData, options: ModelOptions, run: FitRun):
        fits.append((options, run.validation is not None))
        return fit(spec, data, options, run)

    monkeypatch.setattr(ModelSpec, "resolved", recorded_resolve)
    monkeypatch.setattr(ModelSpec, "fit", recorded_fit)
    options = RefreshOptions(models=("ridge",))
    refresh(gateway, options, load_settings().events, home=tmp_path)
    assert len(resolved) == 1
    assert fits == [(resolved[0], True), (resolved[0], False)]


@pytest.mark.parametrize("neo4j_line", [DEFAULT_LINE], indirect=True)
def test_what_the_settings_say_of_a_model_is_in_its_vectors(
    gateway: Neo4jGateway, tmp_path: Path
) -> None:
    rows = [f"u{user},i{(user + 3 * item) % 20}" for user in range(30) for item in range(8)]
    (tmp_path / "interactions.csv").write_text("user_id,item_id\n" + "\n".join(rows))
    ingest(gateway, FolderTables(tmp_path), rejects=tmp_path / "rejects.csv", strict=True)
    own = {"refresh": {"models": ["mf"]}, "models": {"mf": {"dimensions": 6, "epochs": 2}}}
    settings = load_settings().model_copy(update=own)
    report = refresh(gateway, refresh_options(settings, {}), settings.events, home=tmp_path)
    assert set(report.versions) == {"hybrid", "mf"}
    stored = Query(
        "tests/vectors", "", "read", {}, {"dimensions": "int"},
        "MATCH (i:Item) RETURN DISTINCT size(coalesce(i.embedding_mf_a, i.embedding_mf_b)) "
        "AS dimensions",
    )  # fmt: skip
    assert [row["dimensions"] for row in gateway.run(stored)] == [6]
    manifest = json.loads((tmp_path / "refreshes" / report.run / "manifest.json").read_text())
    assert manifest["model_options"]["mf"]["dimensions"] == 6
    assert manifest["model_options"].keys() == {"mf"}
