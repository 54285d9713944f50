"""The gate where the graph has grown: both versions are asked for the same pairs of today."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loaders.gateway import Neo4jGateway
from loaders.ingest import ingest
from loaders.tables import FolderTables
from recsvc.blend import fit as blend_fit
from recsvc.blend import learn as blend_learn
from recsvc.blend.blend import BASE, LEAST_WEIGHT, Blend
from recsvc.blend.reliance import ALIKE, Reliance
from recsvc.errors import GateError
from recsvc.refresh import pipeline
from recsvc.refresh.run_manifest import RunManifest
from recsvc.settings import load_settings
from recsvc.signals import EmbeddingSignal, RowSignal, Signal
from tests.conftest import QUICK
from tests.prepared_graph import prepared

pytestmark = pytest.mark.neo4j

Refreshes = Callable[..., RunManifest]


def write(folder: Path, pairs: list[tuple[str, str]]) -> Path:
    folder.mkdir()
    rows = "\n".join(f"{user},{item}" for user, item in pairs)
    (folder / "interactions.csv").write_text(f"user_id,item_id\n{rows}\n")
    return folder


def take_in(gateway: Neo4jGateway, folder: Path) -> None:
    ingest(gateway, FolderTables(folder), rejects=folder / "rejects.csv", strict=True)


def of_taste(rng: np.random.Generator, users: int, items: int, each: int) -> list[tuple[str, str]]:
    """What users do, who like every third item."""
    return [
        (f"u{user:03}", f"i{item:03}")
        for user in range(users)
        for item in rng.choice(np.arange(user % 3, items, 3), each, replace=False)
    ]


@pytest.fixture
def refreshed(gateway: Neo4jGateway, tmp_path: Path) -> Refreshes:
    def run(**options: Any) -> RunManifest:
        chosen = QUICK.model_copy(update=options)
        return pipeline.refresh(gateway, chosen, load_settings().events, home=tmp_path / "home")

    return run


def test_a_graph_that_has_grown_is_no_worse_version(
    gateway: Neo4jGateway, refreshed: Refreshes, tmp_path: Path
) -> None:
    """What was to be found became harder, and the active version cannot list the new items."""
    rng = np.random.default_rng(0)
    pairs = [
        (f"u{u:03}", f"i{i:03}") for u in range(150) for i in rng.choice(70, 10, replace=False)
    ]
    take_in(gateway, write(tmp_path / "first", pairs))
    first = refreshed(validation_users=200)
    assert (first.change, first.compared) == (None, "no version is active")
    more = [
        (f"u{u:03}", f"n{i:03}") for u in range(150) for i in rng.choice(400, 20, replace=False)
    ]
    take_in(gateway, write(tmp_path / "more", more))
    second = refreshed(validation_users=200)
    assert second.overridden == []
    assert second.change is not None
    assert second.change.high >= 0.0
    assert str(second.compared).startswith("on what 1")
    assert str(second.compared).endswith("users did since, unseen by both")
    assert "fit fastrp for the gate" in second.seconds  # too much was held out besides
    third = refreshed(validation_users=200)
    assert third.change is not None
    assert third.change.mean == 0.0
    assert third.compared == "for 150 users who were asked for the same items by both"


@pytest.fixture
def grown(gateway: Neo4jGateway, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A version of a graph with tastes, which has grown since."""
    rng, events, home = np.random.default_rng(0), load_settings().events, tmp_path / "home"
    write(tmp_path / "first", of_taste(rng, 90, 90, 12))
    write(tmp_path / "more", of_taste(rng, 90, 105, 8))

    def make(home: Path) -> None:
        take_in(gateway, tmp_path / "first")
        pipeline.refresh(gateway, QUICK, events, home=home)
        take_in(gateway, tmp_path / "more")

    prepared(gateway, tmp_path_factory, ("grown", QUICK, events), tmp_path / "first", make, home)


@pytest.mark.long
@pytest.mark.usefixtures("grown")
def test_weights_that_are_no_good_are_refused_and_good_ones_are_not(
    refreshed: Refreshes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As weights that were learned by a leak."""

    def learned(signals: Any, _found: object) -> tuple[dict[str, float], Reliance]:
        return dict.fromkeys(signals.kinds, LEAST_WEIGHT) | {BASE: 1.0}, ALIKE

    with monkeypatch.context() as patch:
        patch.setattr(blend_learn, "learned_blend", learned)
        with pytest.raises(GateError, match=r"NDCG@20 is worse than the active version's by"):
            refreshed()
    report = refreshed()
    assert report.change is not None
    assert report.change.high >= 0.0


@pytest.mark.usefixtures("grown")
def test_arrays_that_are_broken_only_where_they_are_served_are_refused(
    refreshed: Refreshes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was validated is sound, and each vector is as long as ever: items have another's."""

    def mixed_up(signal: Signal) -> Signal:
        if isinstance(signal, EmbeddingSignal):
            return replace(signal, target=np.roll(signal.target, 1, axis=0))
        assert isinstance(signal, RowSignal)
        return replace(signal, rows=signal.rows[:, np.roll(np.arange(signal.rows.shape[1]), 1)])

    def blend(signals: tuple[Signal, ...], *more: Any) -> Blend:
        return Blend(tuple(map(mixed_up, signals)), *more)

    monkeypatch.setattr(blend_fit, "Blend", blend)
    with pytest.raises(GateError, match="finds the held-out items worse than the fits that had"):
        refreshed()


@pytest.mark.long
@pytest.mark.usefixtures("grown")
def test_with_nothing_to_compare_with_it_says_so(refreshed: Refreshes, tmp_path: Path) -> None:
    for state in tmp_path.glob("home/refreshes/*/state.npz"):
        state.unlink()
    report = refreshed()
    assert report.change is None
    assert str(report.compared).startswith(
        "what hybrid 1 was fitted on is not known on this machine; "
    )
    other = refreshed(seed=1)
    assert other.change is None
    assert str(other.compared).startswith(
        "0 of the validation users have something new held out, 30 "
    )
