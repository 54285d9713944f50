"""What the gate is told of a fine-tuned version: both look for what neither has seen."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from loaders.extract import ItemDetails
from loaders.types import Edges, HeteroGraph, IdMap, Interactions
from recsvc.blend.blend import Blend
from recsvc.blend.parts import Learned, Validated
from recsvc.models import MODELS, FitRun, ModelSpec, TrainingData
from recsvc.refresh.candidate import Basis, Extracted, snapshot_of
from recsvc.refresh.comparison import evaluated, in_rows_of
from recsvc.refresh.fine_tuning import change_by_fine_tuning
from recsvc.refresh.fine_tuning_state import FineTuningState, Start
from recsvc.refresh.learning import fit_model
from recsvc.refresh.options import RefreshOptions
from recsvc.refresh.parts import Run
from recsvc.refresh.run_journal import RefreshRun
from recsvc.refresh.run_manifest import RunIdentity, RunManifest
from recsvc.signals import RowSignal
from recsvc.signals.popularity import popularity_prior

TASTES, USERS, ITEMS = 3, 90, 45  # items of all tastes
NEW = 15  # items of the first taste that come later
OPTIONS = MODELS["lightgcn"].options(dimensions=16, batch_size=256, learning_rate=0.02)
EPOCHS = 30


def data_of(did: np.ndarray, items: IdMap) -> TrainingData:
    evidence = sp.csr_matrix(did.astype(np.float32))
    pairs = evidence.tocoo()
    interactions = Interactions(
        pairs.row.astype(np.int64), pairs.col.astype(np.int64), np.zeros(evidence.nnz, np.int8),
        evidence.data, np.full(evidence.nnz, np.nan), ("interaction",),
    )  # fmt: skip
    users = IdMap([f"u{user:03}" for user in range(USERS)])
    follows = Edges(np.array([0]), np.array([1]), np.ones(1, np.float32))
    return TrainingData(HeteroGraph(users, items, IdMap(()), interactions, follows), evidence)


@dataclass
class Alone:
    """A lease that nobody else wants."""

    required: int = field(default=0)

    def require(self) -> None:
        self.required += 1


@pytest.fixture
def run(tmp_path: Path) -> Run:
    nothing = RunManifest(
        run="r", state="unfinished", identity=RunIdentity(), attempts=[], steps=[]
    )
    record = RefreshRun(tmp_path, nothing)
    options = RefreshOptions(models=("lightgcn",), validation_users=60)
    nobody: Any = None
    lease: Any = Alone()
    return Run(nobody, options, {}, lambda *_: None, lease, record)


def started(run: Run, share: float) -> Basis:
    """A version of a third of what users of three tastes do; of the rest, a share comes later.

    Items that only the later graph has come first, so that rows are others.
    """
    rng = np.random.default_rng(0)
    tastes = np.arange(USERS)[:, None] % TASTES == np.arange(ITEMS)[None] // (ITEMS // TASTES)
    first = tastes & (rng.random((USERS, ITEMS)) < 0.35)
    first[:, ::15] |= tastes[:, ::15]
    then = data_of(first, IdMap([f"i{item:02}" for item in range(ITEMS)]))
    model = fit_model(run, "lightgcn", then, OPTIONS, "first", epochs=EPOCHS)
    signal = model.signal("lightgcn", then.graph.items)
    rows = RowSignal("paths", "user", then.graph.users, then.evidence)
    blend = Blend((signal, rows), (1.0, 0.1), popularity_prior(then.evidence), 0.002)
    details = ItemDetails(("",) * ITEMS, (True,) * ITEMS, ())
    before = snapshot_of(then.graph, details, then.evidence, blend, {}, ())
    learned = Learned(
        {}, {"lightgcn": EPOCHS}, {}, Validated(np.zeros(0, int), np.zeros(0), np.zeros(0, int))
    )
    state = FineTuningState(
        then.graph.users, then.graph.items, IdMap(()), then.evidence,
        {"lightgcn": model.tables}, {}, learned, {}, {}, 0.0, 0,
    )  # fmt: skip
    did = np.hstack([tastes[:, :NEW], first | (tastes & (rng.random(tastes.shape) < share))])
    now = data_of(
        did,
        IdMap([*(f"a{item:02}" for item in range(NEW)), *(f"i{item:02}" for item in range(ITEMS))]),
    )
    nothing_else = ItemDetails((), (), ())
    return Basis(
        Extracted(now.graph, nothing_else, 0.0), now.evidence, Start("", state, before),
        {"lightgcn": OPTIONS}, learned,
    )  # fmt: skip


def test_fine_tuning_is_not_worse(run: Run) -> None:
    basis = started(run, 0.4)
    change = change_by_fine_tuning(run, basis).change
    assert change is not None
    assert change.high >= 0.0
    assert abs(change.mean) < 0.1


@pytest.mark.parametrize("spoilt", ["item_vectors", "source_vectors"])
def test_vectors_that_say_nothing_are_worse(
    run: Run, spoilt: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    basis = started(run, 0.4)
    fit = ModelSpec.fit

    def spoils(spec: ModelSpec, data: TrainingData, options: Any, how: FitRun) -> Any:
        assert how.start
        model, report = fit(spec, data, options, how)
        noise = np.random.default_rng(0).normal(size=getattr(model, spoilt).shape)
        return replace(model, **{spoilt: noise.astype(np.float32)}), report

    monkeypatch.setattr(ModelSpec, "fit", spoils)
    change = change_by_fine_tuning(run, basis).change
    assert change is not None
    assert change.high < 0.0


def test_what_is_looked_for_was_not_fitted_on(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    basis = started(run, 0.4)
    seen: list[sp.csr_matrix] = []
    fit = ModelSpec.fit

    def noted(spec: ModelSpec, data: TrainingData, *more: Any) -> Any:
        seen.append(data.evidence)
        return fit(spec, data, *more)

    monkeypatch.setattr(ModelSpec, "fit", noted)
    change_by_fine_tuning(run, basis)
    (fitted_on,) = seen
    state = basis.start.state
    assert state is not None
    held_out = (basis.evidence - fitted_on).tocoo()
    rows_of_state = basis.graph.items.rows(state.items)
    old = state.evidence.toarray()
    new = basis.evidence.toarray()[:, rows_of_state] - old
    assert held_out.nnz == pytest.approx(new.sum() * 60 / USERS / 2, rel=0.15)
    # Nobody could have found what the active version does not know.
    assert (held_out.col >= NEW).all()
    assert (fitted_on.toarray()[:, rows_of_state] >= old).all()


def test_few_who_did_anything_new_are_not_compared(run: Run) -> None:
    basis = started(run, 0.01)
    change = change_by_fine_tuning(run, basis).change
    assert change is None


def test_the_active_blend_scores_what_it_did_where_rows_are_others(run: Run) -> None:
    basis = started(run, 0.4)
    state = basis.start.state
    assert state is not None
    before = basis.start.before
    assert before is not None
    blend, graph = in_rows_of(basis.graph, before), basis.graph
    rows_of_state = graph.items.rows(state.items)
    old = state.evidence
    new = sp.csr_matrix((USERS, len(graph.items)), dtype=np.float32).tolil()
    new[:, rows_of_state] = old
    n = len(graph.users)
    followed = graph.follows.matrix(n, n, weighted=False)
    for ours, theirs in zip(blend.signals, before.blend.signals, strict=True):
        given = (new.tocsr(), old) if ours.kind == "item" else (followed, followed)
        scores = ours.batch_scores(given[0])
        np.testing.assert_allclose(
            scores[:, rows_of_state], theirs.batch_scores(given[1]), 1e-5, 1e-7
        )
        assert theirs.batch_scores(given[1]).any()
        assert not np.delete(scores, rows_of_state, axis=1).any()
    np.testing.assert_array_equal(blend.prior[rows_of_state], before.blend.prior)


def test_items_that_the_active_version_does_not_know_take_no_place(run: Run) -> None:
    basis = started(run, 0.4)
    before = basis.start.before
    assert before is not None
    blend = in_rows_of(basis.graph, before)
    new_items = before.items.rows(basis.graph.items) < 0
    loud = replace(blend, prior=np.where(new_items, np.float32(1e6), blend.prior))
    empty = sp.csr_matrix((USERS, USERS), dtype=np.float32)
    given = {"item": basis.evidence, "user": empty, "category": empty}
    wanted = sp.csr_matrix(np.roll(basis.evidence.toarray(), 1, axis=1) * ~new_items)
    quiet, noisy = (
        evaluated(one, given, wanted, given["item"], new_items).per_user for one in (blend, loud)
    )
    assert quiet["ndcg@20"].any()
    np.testing.assert_array_equal(quiet["ndcg@20"], noisy["ndcg@20"])
