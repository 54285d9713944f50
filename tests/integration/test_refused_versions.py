"""What the gate refuses, and what was forced past it."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from loaders import writeback
from loaders.errors import Neo4jUnavailableError
from loaders.gateway import Neo4jGateway
from loaders.local_neo4j import DEFAULT_LINE
from recsvc.blend import fit as blend_fit
from recsvc.blend import learn as blend_learn
from recsvc.blend.parts import Fitted, Vectors
from recsvc.blend.weights import Candidates, candidates_in_parts
from recsvc.errors import GateError
from recsvc.evaluation.groups import PerUser, UserGroup, by_items_known
from recsvc.refresh import learning
from recsvc.refresh.learning import fit_model
from recsvc.refresh.process import REFUSED
from recsvc.refresh.run_manifest import RunManifest
from tests.forked_refresh import VERSIONS, orphans, served_arrays
from tests.integration.conftest import MOMENTS, active, statuses

pytestmark = pytest.mark.neo4j

REFRESH = ("refresh", "--model", "fastrp", "--model", "walk3", "--device", "cpu", "--json")


def for_the_wrong_users(*arguments: Any) -> Candidates:
    """The candidates, with what every signal says of one user said of another."""
    found = candidates_in_parts(*arguments)
    return replace(found, features=np.roll(found.features, 1, axis=1))


def spoilt(spoil: Callable[[Vectors], Vectors]) -> Callable[..., Fitted]:
    """`fit_model` with the vectors of what is to be served spoilt."""

    def fit(run: Any, name: str, data: Any, options: Any, purpose: str = "", **more: Any) -> Fitted:
        fitted = fit_model(run, name, data, options, purpose, **more)
        vectors = None if purpose else fitted.kernel
        return replace(fitted, kernel=spoil(vectors)) if isinstance(vectors, Vectors) else fitted

    return fit


def bad_for_all(
    known: Any, model: PerUser, popularity: PerUser, parts: Any
) -> tuple[UserGroup, ...]:
    """Groups of which each is said to be served better by the popular list."""
    worse = {metric: 0.5 * values - 0.01 for metric, values in popularity.items()}
    return by_items_known(known, worse, popularity, parts)


def newest_manifest(home: Path) -> dict[str, Any]:
    return orjson.loads(max(home.glob("refreshes/*/manifest.json")).read_bytes())


def test_a_worse_version_is_refused_and_what_was_active_stays(
    graph: Neo4jGateway,
    refreshed: Callable[..., RunManifest],
    command: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(blend_learn, "by_items_known", bad_for_all)
        first = refreshed()
        assert first.change is None  # nothing to compare with
        again = refreshed()
    for bad in (first, again):  # nothing that is better could stay active
        assert bad.objections == []
        assert bad.warnings
        assert all("the popular list is better by" in warning for warning in bad.warnings)
    assert again.change is not None
    assert (again.change.mean, again.overridden) == (0.0, [])  # the same graph, the same models
    before = served_arrays(graph)
    with monkeypatch.context() as patched:
        patched.setattr(blend_fit, "candidates_in_parts", for_the_wrong_users)
        code, out, err = command(*REFRESH)
    assert (code, out) == (REFUSED, "")
    (line,) = [line for line in err.splitlines() if line.startswith("recsvc: ")]
    assert re.search(r"NDCG@20 is worse than the active version's by 0\.\d+ \(95% interval", line)
    assert "--force activates it all the same" in line
    versions = {f"{v['model']} {v['version']}": v for v in graph.run(VERSIONS)}
    assert statuses(graph) == {
        "fastrp 1": "retired", "hybrid 1": "retired", "fastrp 2": "active", "hybrid 2": "active",
        "fastrp 3": "failed", "hybrid 3": "failed",
    }  # fmt: skip
    assert all("NDCG@20 is worse" in versions[name]["reason"] for name in ("fastrp 3", "hybrid 3"))
    assert versions["hybrid 3"]["parts"] > 0  # for inspection
    assert (versions["fastrp 2"]["slot"], versions["fastrp 3"]["slot"]) == ("b", "a")
    assert served_arrays(graph) == before
    manifest = newest_manifest(tmp_path / "home")
    assert manifest["state"] == "failed"
    (objection,) = manifest["objections"]
    assert objection in manifest["error"]
    assert objection in line
    sound = refreshed()
    assert (sound.versions, sound.warnings) == ({"hybrid": 4, "fastrp": 4}, [])
    assert sound.by_items_known is not None
    assert 30 < sum(group.users for group in sound.by_items_known) <= 60
    assert orphans(graph) == []
    monkeypatch.setattr(blend_learn, "by_items_known", bad_for_all)
    code, _, err = command(*REFRESH)
    assert code == REFUSED
    assert "the popular list is better by" in err
    manifest = newest_manifest(tmp_path / "home")
    assert len(manifest["objections"]) == len(first.warnings or ())
    assert manifest["warnings"] == []
    assert active(graph) == {"fastrp": 4, "hybrid": 4}


@pytest.mark.usefixtures("first")
def test_force_activates_it_and_the_objections_are_recorded(
    gateway: Neo4jGateway,
    refreshed: Callable[..., RunManifest],
    command: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(blend_fit, "candidates_in_parts", for_the_wrong_users)
        code, out, err = command(*REFRESH, "--force")
    assert code == 0, err
    report = orjson.loads(out)
    objections = report["overridden"]
    assert "NDCG@20 is worse" in objections[0]
    assert all("the popular list is better" in each for each in objections[1:])
    assert report["change"]["high"] < 0.0
    assert active(gateway) == {"fastrp": 2, "hybrid": 2}
    recorded = {row["name"]: row["overridden"] for row in gateway.run(MOMENTS)}
    assert recorded == {
        "fastrp 1": None, "hybrid 1": None, "fastrp 2": objections, "hybrid 2": objections,
    }  # fmt: skip
    manifest = newest_manifest(tmp_path / "home")
    assert (manifest["state"], manifest["overridden"]) == ("activated", objections)
    better = refreshed()
    assert better.change is not None
    assert better.change.low > 0.0
    assert better.overridden == []


def nan(vectors: Vectors) -> Vectors:
    item = vectors.item.copy()
    item[3, 0] = np.nan
    return replace(vectors, item=item)


def one_direction(vectors: Vectors) -> Vectors:
    return replace(vectors, item=np.ones_like(vectors.item))


def few_items(vectors: Vectors) -> Vectors:
    item = vectors.item.copy()
    item[:9] = 0.0
    return replace(vectors, item=item)


@pytest.mark.parametrize("neo4j_line", [DEFAULT_LINE], indirect=True)
@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (nan, "fastrp: a target vector holds NaN or an infinity"),
        pytest.param(
            one_direction,
            "fastrp: the target vectors have collapsed to one direction",
            marks=pytest.mark.long,
        ),
        pytest.param(few_items, "fastrp: covers 80.0% of the items", marks=pytest.mark.long),
    ],
)
@pytest.mark.usefixtures("first")
def test_what_cannot_be_served_well_is_refused(
    gateway: Neo4jGateway,
    refreshed: Callable[..., RunManifest],
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[Vectors], Vectors],
    says: str,
) -> None:
    before = served_arrays(gateway)
    monkeypatch.setattr(learning, "fit_model", spoilt(spoil))
    with pytest.raises(GateError, match=says):
        refreshed()
    assert active(gateway) == {"fastrp": 1, "hybrid": 1}
    assert statuses(gateway)["hybrid 2"] == "failed"
    if spoil is nan:
        with pytest.raises(GateError, match="--force or not"):
            refreshed(force=True)
    else:
        overridden = refreshed(force=True).overridden or []
        assert [each.startswith(says) for each in overridden] == [True]
    if spoil is few_items:
        assert refreshed(least_coverage=0.8).overridden == []
    elif spoil is nan:
        assert served_arrays(gateway) == before


@pytest.mark.parametrize("neo4j_line", [DEFAULT_LINE], indirect=True)
def test_the_first_version_is_looked_at_too(
    graph: Neo4jGateway,
    refreshed: Callable[..., RunManifest],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(learning, "fit_model", spoilt(one_direction))
    with pytest.raises(GateError, match="collapsed"):
        refreshed()
    assert active(graph) == {}


@pytest.mark.parametrize("neo4j_line", [DEFAULT_LINE], indirect=True)
@pytest.mark.usefixtures("first")
def test_versions_that_held_out_other_shares_are_not_compared(
    refreshed: Callable[..., RunManifest],
) -> None:
    assert refreshed(held_out_share=0.3).change is None


@pytest.mark.parametrize("neo4j_line", [DEFAULT_LINE], indirect=True)
def test_when_it_was_forced_and_ended_it_is_gone_on_with_without_force(
    graph: Neo4jGateway,
    refreshed: Callable[..., RunManifest],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After the flip there is nothing more to refuse."""

    def lost(*_arguments: Any) -> None:
        raise Neo4jUnavailableError("gone")

    with monkeypatch.context() as patched:
        patched.setattr(learning, "fit_model", spoilt(one_direction))
        patched.setattr(writeback, "write_similar", lost)
        with pytest.raises(Neo4jUnavailableError):
            refreshed(force=True)
    assert refreshed().versions == {"hybrid": 1, "fastrp": 1}
    (recorded,) = {tuple(row["overridden"]) for row in graph.run(MOMENTS)}
    assert "collapsed" in recorded[0]
