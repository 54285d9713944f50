"""A refresh with models that have vectors and models that have none."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from loaders.catalogue import Query, catalogue
from loaders.gateway import Neo4jAddress, Neo4jGateway
from loaders.ingest import ingest
from loaders.local_neo4j import DEFAULT_LINE
from loaders.parts import stored_parts
from loaders.tables import FolderTables
from loaders.types import IdMap
from recsvc.errors import RefreshError, TrainingError
from recsvc.evidence import Evidence, EvidenceNode, EvidenceRows
from recsvc.models import MODELS
from recsvc.refresh.pipeline import RefreshOptions, refresh
from recsvc.settings import load_settings
from recsvc.signals import EmbeddingSignal, InductiveSignal, RowSignal
from recsvc.signals.embedding import cosines
from recsvc.snapshot import arrays as snapshots
from recsvc.snapshot.arrays import Snapshot

VERSIONS = Query(
    "tests/versions", "Versions and their status.", "read", {}, {},
    "MATCH (v:EmbeddingVersion) RETURN v.model AS model, v.status AS status ORDER BY model",
)  # fmt: skip


def _ingest(gateway: Neo4jGateway, folder: Path) -> None:
    """Three tastes; everybody has most of the 15 items of theirs."""
    rng = np.random.default_rng(0)
    rows = [
        f"u{user:02},i{item:02}"
        for user in range(36)
        for item in range(45)
        if item // 15 == user % 3 and rng.random() < 0.7
    ]
    (folder / "interactions.csv").write_text("user_id,item_id\n" + "\n".join(rows) + "\n")
    ingest(gateway, FolderTables(folder), rejects=folder / "rejects.csv", strict=True)


@pytest.mark.neo4j
@pytest.mark.parametrize("neo4j_line", [DEFAULT_LINE], indirect=True)
def test_what_does_not_fit_into_memory_is_refused_before_any_fit(
    gateway: Neo4jGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _ingest(gateway, tmp_path)
    monkeypatch.setattr("recsvc.refresh.learning.available_bytes", lambda _device: 1000)
    options = RefreshOptions(models=("walk3", "fastrp"), validation_users=30)
    with pytest.raises(RefreshError, match=r"36 users, 45 items .* 0\.00 GiB are free: lower"):
        refresh(gateway, options, load_settings().events, home=tmp_path)
    (manifest,) = (tmp_path / "refreshes").glob("*/manifest.json")
    steps = json.loads(manifest.read_text())["steps"]
    assert [step["name"] for step in steps][:2] == ["begin", "extract"]
    assert not [step for step in steps if step["name"].startswith("fit")]


@pytest.mark.neo4j
@pytest.mark.parametrize("neo4j_line", [DEFAULT_LINE], indirect=True)
def test_a_model_without_vectors_is_in_the_blend_as_rows(
    neo4j_address: Neo4jAddress, gateway: Neo4jGateway, tmp_path: Path
) -> None:
    _ingest(gateway, tmp_path)
    options = RefreshOptions(models=("walk3", "fastrp"), validation_users=30, kernel_size=12)
    told: list[tuple[str, int, int]] = []
    report = refresh(
        gateway, options, load_settings().events, home=tmp_path,
        progress=lambda *one: told.append(one),
    )  # fmt: skip
    assert report.expected == "about 10 s expected on two cores; walk3, fastrp not counted"
    assert (report.expected, 1, 1) in told
    assert {("rows of walk3", 45, 45), ("check meta-paths", 4, 4)} <= set(told)
    (parts,) = {total for what, _, total in told if what == "write snapshot" and total > 1}
    assert ("write snapshot", parts, parts) in told
    assert report.versions.keys() == {"hybrid", "fastrp"}
    assert gateway.run(VERSIONS) == [
        {"model": "fastrp", "status": "active"}, {"model": "hybrid", "status": "active"},
    ]  # fmt: skip
    assert report.cut.keys() == {"walk3", "pagerank"}
    assert 0.0 < report.cut["walk3"] < 0.5
    content = stored_parts(gateway, report.versions["hybrid"])
    _check_served(snapshots.read(content, report.sha256))


def _check_served(snapshot: Snapshot) -> None:
    signals = {signal.name: signal for signal in snapshot.blend.signals}
    walk, vectors = signals["walk3"], signals["fastrp"]
    assert isinstance(walk, RowSignal)
    assert isinstance(vectors, EmbeddingSignal)
    assert np.diff(walk.rows.indptr).max() == 12
    evidence = Evidence((EvidenceNode("item", "i03", 1.0), EvidenceNode("item", "i05", 1.0)))
    scored = snapshot.blend.score(evidence)
    items = np.arange(len(snapshot.items))
    terms = snapshot.blend.terms(scored, items)
    assert {"walk3", "fastrp"} <= {term.signal for term in terms}
    total = snapshot.blend.base(scored, items) + sum(term.values.sum(axis=0) for term in terms)
    np.testing.assert_allclose(total, scored.scores, rtol=1e-4, atol=1e-5)
    # Both pieces of evidence are of the first taste, and so are the best items.
    assert scored.scores.argsort()[-8:].max() < 15


LATER = Query(
    "tests/later", "An item that three of the second taste have.", "write", {}, {},
    "CREATE (i:Item {item_id: 'new'}) WITH i "
    "MATCH (u:User) WHERE u.user_id IN ['u01', 'u04', 'u07'] "
    "CREATE (u)-[:INTERACTED {event: 'interaction', weight: 1.0, count: 1}]->(i)",
)  # fmt: skip


@pytest.mark.neo4j
@pytest.mark.parametrize("neo4j_line", [DEFAULT_LINE], indirect=True)
def test_a_new_item_has_a_vector_of_the_network_without_a_refresh(
    neo4j_address: Neo4jAddress, gateway: Neo4jGateway, tmp_path: Path
) -> None:
    _ingest(gateway, tmp_path)
    few = {"dimensions": 16, "epochs": 3, "steps_per_epoch": 8}
    options = RefreshOptions(
        models=("graphsage", "fastrp"), validation_users=30, options={"graphsage": few}
    )
    report = refresh(gateway, options, load_settings().events, home=tmp_path)
    snapshot = snapshots.read(stored_parts(gateway, report.versions["hybrid"]), report.sha256)
    signal = next(each for each in snapshot.blend.signals if each.name == "graphsage")
    assert isinstance(signal, InductiveSignal)
    gateway.run(LATER)
    (row,) = gateway.run(
        catalogue()["serve/two_steps"], evidence_ids=["new"], kinds=["interaction"]
    )
    known = np.array([snapshot.items.row(item) for item in row["item_ids"]])
    share = np.array(row["shares"], np.float32)[known >= 0]
    at = (np.zeros(len(share), np.int64), known[known >= 0])
    shares = sp.csr_matrix((share, at), shape=(1, len(snapshot.items)))
    vector = signal.new_item_vectors(shares, snapshot.item_people)
    assert cosines(vector, signal.target)[0].reshape(3, 15).mean(axis=1).argmax() == 1
    live = signal.with_fresh_rows(IdMap(["new"]), np.array([-1]), shares, snapshot.item_people)
    scores = live.raw_scores(EvidenceRows(np.arange(1), np.arange(1), np.ones(1)))
    assert scores.reshape(3, 15).mean(axis=1).argmax() == 1
    # The state of a refresh goes on from the network, too.
    again = refresh(gateway, options, load_settings().events, home=tmp_path)
    assert (again.start or "").startswith("fine-tuned from hybrid")


@pytest.mark.long
@pytest.mark.neo4j
@pytest.mark.parametrize("neo4j_line", [DEFAULT_LINE], indirect=True)
def test_a_refresh_reads_the_properties_that_a_model_names(
    gateway: Neo4jGateway, tmp_path: Path
) -> None:
    _ingest(gateway, tmp_path)
    few = {"dimensions": 8, "epochs": 1, "layers": 1, "interaction_properties": "stars"}
    options = RefreshOptions(models=("heterognn",), validation_users=30, options={"heterognn": few})
    with pytest.raises(TrainingError, match="no interaction has a number as its property 'stars'"):
        refresh(gateway, options, load_settings().events, home=tmp_path)
    gateway.run(STARS)
    report = refresh(gateway, options, load_settings().events, home=tmp_path)
    assert report.versions.keys() == {"hybrid", "heterognn"}


STARS = Query(
    "tests/stars", "Gives each interaction stars.", "write", {}, {},
    "MATCH (:User)-[r:INTERACTED]->(:Item) SET r.stars = 1 + id(r) % 5",
)  # fmt: skip


@pytest.mark.neo4j
@pytest.mark.parametrize("neo4j_line", [DEFAULT_LINE], indirect=True)
@pytest.mark.parametrize("model", ["popularity", "ngcf", "hybrid"])
def test_what_is_not_linear_is_refused_before_anything_is_begun(
    gateway: Neo4jGateway, model: str, tmp_path: Path
) -> None:
    options = RefreshOptions(models=("walk3", model))
    with pytest.raises(RefreshError, match=f"{model} is not linear"):
        refresh(gateway, options, load_settings().events, home=tmp_path)
    assert gateway.run(VERSIONS) == []


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_model_with_vectors_has_its_queries(name: str) -> None:
    """A fitted model with `source_vectors` is written back: see `EmbeddingModel`."""
    module = importlib.import_module(f"recsvc.models.{name}")
    classes = [each for each in vars(module).values() if isinstance(each, type)]
    vectors = any("source_vectors" in getattr(each, "__dataclass_fields__", {}) for each in classes)
    known = f"writeback/item_vectors[{name},a]" in catalogue()
    assert known == vectors
