"""A refresh of models of a knowledge graph, and one that goes on from it."""

from pathlib import Path

import numpy as np
import pytest

from loaders.gateway import Neo4jGateway
from loaders.ingest import ingest
from loaders.parts import stored_parts
from loaders.tables import FolderTables
from recsvc.evidence import Evidence, EvidenceNode
from recsvc.refresh.options import RefreshOptions
from recsvc.refresh.pipeline import refresh
from recsvc.refresh.run_manifest import RunManifest
from recsvc.settings import load_settings
from recsvc.snapshot.arrays import Snapshot
from recsvc.snapshot.arrays import read as read_snapshot
from tests.forked_refresh import make_graph

OPTIONS = RefreshOptions(
    models=("complex", "svd"), validation_users=60, fine_tune_below=0.5,
    options={"complex": {"dimensions": 16, "batch_size": 256}, "svd": {"dimensions": 3}},
)  # fmt: skip
ITEMS = [f"i{item:02}" for item in range(45)]  # 15 of each taste


def take_in(gateway: Neo4jGateway, folder: Path, interactions: list[str], links: list[str]) -> None:
    """Interactions, and the categories of items with them."""
    folder.mkdir()
    categories = sorted({link.partition(",")[2] for link in links})
    for table, columns, rows in (
        ("interactions", "user_id,item_id", interactions),
        ("item_categories", "item_id,category_id", links),
        ("categories", "category_id", categories),
    ):
        (folder / f"{table}.csv").write_text("\n".join([columns, *rows]) + "\n")
    ingest(gateway, FolderTables(folder), rejects=folder / "rejects.csv", strict=True)


def vectors(found: Snapshot) -> np.ndarray:
    """Unit vectors of the items that were there from the beginning."""
    targets = found.item_vectors("complex")
    assert targets is not None
    rows = targets[found.items.rows(ITEMS)]
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.neo4j
@pytest.mark.long
def test_facts_are_gone_on_with_and_explained(gateway: Neo4jGateway, tmp_path: Path) -> None:
    """Relations have rows of their own in what a refresh leaves; a new category comes before."""

    def refreshed() -> tuple[Snapshot, RunManifest]:
        report = refresh(gateway, OPTIONS, load_settings().events, home=tmp_path / "home")
        assert report.versions is not None
        parts = stored_parts(gateway, report.versions["hybrid"])
        assert report.sha256 is not None
        return read_snapshot(parts, report.sha256), report

    make_graph(gateway, tmp_path / "tables", users=60)
    links = [f"{item},c{number // 15}" for number, item in enumerate(ITEMS)]
    take_in(gateway, tmp_path / "categories", [], links)
    before, _ = refreshed()
    take_in(gateway, tmp_path / "more", ["u010,i44", "u999,i00"], ["i00,a0"])
    after, report = refreshed()
    assert report.start is not None
    assert report.start.startswith("fine-tuned from hybrid 1: 0.")
    assert np.vecdot(vectors(before), vectors(after)).min() > 0.8
    listened = Evidence((EvidenceNode("item", "i03", 1.0), EvidenceNode("item", "i05", 1.0)))
    scored = after.blend.score(listened)
    terms = after.blend.terms(scored, np.arange(len(after.items)))
    assert {"complex", "svd"} <= {term.signal for term in terms}
    # Both pieces of evidence are of the first taste, and so are the best items.
    assert set(scored.scores.argsort()[-8:].tolist()) <= set(range(15))
