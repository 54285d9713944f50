"""A kernel class that is one file and its registration: it is served as any other is."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self, cast

import numpy as np
import pytest
import scipy.sparse as sp
from jaxtyping import Float32, Float64, Int64
from numpy.typing import NDArray

from loaders.types import HeteroGraph, IdMap
from recsvc.blend.blend import Blend
from recsvc.errors import SnapshotError
from recsvc.evidence import Evidence, EvidenceKind, EvidenceNode, EvidenceRows
from recsvc.explain.counterfactual import find_removals
from recsvc.explain.leave_out_scores import LeaveOneOutScores, Listed
from recsvc.graph.store import Store
from recsvc.refresh.comparison import in_rows_of
from recsvc.refresh.gate import coverage, objections
from recsvc.signals import STORED, Signal
from recsvc.signals.base import StoredArray, fresh_order
from recsvc.snapshot import arrays as snapshots
from recsvc.snapshot.arrays import Snapshot, pack, read
from recsvc.snapshot.forgetting import ids_in, rewritten
from tests.live_rows import with_live_rows

ITEMS = IdMap([f"i{n}" for n in range(8)])


@dataclass(frozen=True, slots=True, eq=False)
class AroundSignal(Signal):
    """K(j, i) = said_j · heard_i + link_ji · scale: a dense and a sparse part, and a number."""

    name: str
    kind: EvidenceKind
    ids: IdMap
    said: Float32[NDArray[np.float32], " evidence"]
    heard: Float32[NDArray[np.float32], " items"]
    link: sp.csr_matrix
    scale: float

    form: ClassVar[str] = "around"
    layout: ClassVar[Mapping[str, StoredArray]] = {
        "said": StoredArray("voice", "evidence"),
        "heard": StoredArray("ear", "items"),
        "link": StoredArray("link", "evidence", "items"),
    }

    def _kernel(self, rows: Any) -> Float64[NDArray[np.float64], "n items"]:
        product = np.outer(self.said[rows], self.heard).astype(np.float64)
        return product + self.scale * self.link[rows].toarray()

    def raw_scores(self, evidence: EvidenceRows) -> Float32[NDArray[np.float32], " items"]:
        return (evidence.weight @ self._kernel(evidence.row)).astype(np.float32)

    def terms(
        self, evidence: EvidenceRows, items: Int64[NDArray[np.int64], " k"]
    ) -> Float64[NDArray[np.float64], "evidence k"]:
        return evidence.weight[:, None] * self._kernel(evidence.row)[:, items]

    def batch_scores(self, evidence: sp.csr_matrix) -> Float32[NDArray[np.float32], "n items"]:
        return np.asarray(evidence @ self._kernel(np.arange(len(self.ids))), np.float32)

    def arrays(self) -> Mapping[str, Any]:
        return {"said": self.said, "heard": self.heard, "link": self.link}

    def settings(self) -> dict[str, Any]:
        return {"scale": self.scale}

    @classmethod
    def from_arrays(
        cls, name: str, kind: EvidenceKind, ids: IdMap, arrays: Mapping[str, Any],
        settings: Mapping[str, Any],
    ) -> Self:  # fmt: skip
        return cls(
            name, kind, ids, arrays["said"], arrays["heard"], arrays["link"], settings["scale"]
        )

    @property
    def by_two_steps(self) -> bool:
        return True

    def with_fresh_rows(
        self, ids: IdMap, stored: Int64[NDArray[np.int64], " evidence"], fresh: sp.csr_matrix,
        people: Int64[NDArray[np.int64], " items"],
    ) -> "AroundSignal":  # fmt: skip
        old, order = stored[stored >= 0], fresh_order(stored)
        said = np.concatenate([self.said[old], np.zeros(fresh.shape[0], np.float32)])[order]
        link = sp.csr_matrix(sp.vstack([self.link[old], fresh], format="csr"))[order]
        return AroundSignal(self.name, self.kind, ids, said, self.heard, link, self.scale)


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STORED, AroundSignal.form, AroundSignal)


def made_signal(*, bad: float = 0.0) -> AroundSignal:
    rng = np.random.default_rng(1)
    said, heard = rng.normal(size=(2, len(ITEMS))).astype(np.float32)
    said[2] += np.float32(bad)
    link = sp.random(len(ITEMS), len(ITEMS), 0.4, "csr", np.float32, rng)
    return AroundSignal("around", "item", ITEMS, said, heard, sp.csr_matrix(link), 2.0)


def made_snapshot() -> Snapshot:
    n = len(ITEMS)
    return Snapshot(
        {"hybrid": 1}, ITEMS, IdMap(()), IdMap(()), np.zeros(0, np.int64), np.ones(n, np.int64),
        ("",) * n, np.ones(n, bool), sp.csr_matrix((n, 0), dtype=bool),
        Blend((made_signal(),), (1.0,), np.linspace(1, 0, n).astype(np.float32), 0.01),
    )  # fmt: skip


EVIDENCE = Evidence(tuple(EvidenceNode("item", f"i{n}", 1.0 - n / 10) for n in range(4)))


def stored_and_read(snapshot: Snapshot) -> Snapshot:
    return read(*pack(snapshot))


def test_it_is_stored_and_read_back_bit_for_bit() -> None:
    made = made_snapshot()
    again = stored_and_read(made)
    (signal,) = again.blend.signals
    assert type(signal) is AroundSignal
    before, after = made.blend.score(EVIDENCE), again.blend.score(EVIDENCE)
    assert after.spoken
    assert after.scores.tobytes() == before.scores.tobytes()


def test_a_class_that_is_not_registered_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = pack(made_snapshot())
    monkeypatch.delitem(STORED, AroundSignal.form)
    with pytest.raises(
        SnapshotError, match="'around', expected content, embedding, inductive, rows"
    ):
        read(*packed)


def test_scores_without_some_evidence_are_those_of_a_blend_that_never_had_it() -> None:
    blend, n = made_snapshot().blend, len(ITEMS)
    own = np.arange(4)
    listed = Listed(np.array([7, 6]), np.ones(n, bool), np.ones(n, bool), own)
    leave_one_out = LeaveOneOutScores(blend, EVIDENCE, blend.score(EVIDENCE), listed)
    for sets in ([[0], [1], [3]], [[0, 2], [1, 3]]):
        scores, _ = leave_one_out.without(np.array(sets))
        for gone, found in zip(sets, scores, strict=True):
            nodes = tuple(x for p, x in enumerate(EVIDENCE.nodes) if p not in gone)
            expected = blend.score(Evidence(nodes)).scores[leave_one_out.items]
            expected[np.searchsorted(leave_one_out.items, own[gone])] = -np.inf
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def ranking(blend: Blend) -> Callable[[Any], Any]:
    def rank_again(positions: Any) -> Any:
        nodes = [x for p, x in enumerate(EVIDENCE.nodes) if p not in positions]
        scores = blend.score(Evidence(tuple(nodes))).scores.copy()
        scores[:4] = -np.inf
        return np.argsort(-scores, kind="stable")[:1]

    return rank_again


def test_without_its_counterfactual_an_item_is_not_in_the_list() -> None:
    blend, n = made_snapshot().blend, len(ITEMS)
    rank_again, allowed = ranking(blend), np.arange(n) >= 4
    top = rank_again(np.array([], np.int64))
    listed = Listed(top, allowed, np.ones(n, bool), np.arange(4))
    leave_one_out = LeaveOneOutScores(blend, EVIDENCE, blend.score(EVIDENCE), listed)
    (removal,) = find_removals(leave_one_out, listed, rank_again, plain=True)
    assert removal is not None
    assert rank_again(np.array(removal.positions)).tolist() == [removal.replaced_by]
    assert removal.replaced_by != top[0]


def test_a_deletion_leaves_no_row_and_no_column_in_memory_or_in_stored_parts() -> None:
    made = made_snapshot()
    left = made.without({"item": ["i1", "i5"]})
    (whole,), (signal,) = made.blend.signals, left.blend.signals
    rows = np.delete(np.arange(len(ITEMS)), [1, 5])
    (before,), (after,) = whole.all_rows(), signal.all_rows()
    np.testing.assert_array_equal(after, before[np.ix_(rows, rows)])

    parts, _ = pack(made)

    def contents(entry: str) -> Iterator[bytes]:
        return (part.content for part in parts if part.entry == entry)

    manifest = snapshots.read_manifest(b"".join(contents(snapshots.MANIFEST)), "here")
    kept = {
        kind: np.array([each in (left.items, (), ())[n] for each in ids], bool)
        for n, (kind, ids) in enumerate(ids_in(manifest).items())
    }
    new = list(rewritten(manifest, kept, contents))
    entries = {part.entry for part in new}
    assert {*new, *(p for p in parts if p.entry not in entries)} == set(pack(left)[0])


def test_the_gate_names_what_is_not_finite_and_counts_what_is_reached() -> None:
    known = np.ones(len(ITEMS), bool)
    signal = made_signal()
    assert objections([signal], known, None, least_coverage=0.9) == ()
    assert coverage([signal], known) == {"the blend": 1.0}
    assert not made_signal().reindexed(ITEMS, np.full(8, -1), np.arange(8)).reached().any()
    (reason,) = objections([made_signal(bad=np.nan)], known, None, least_coverage=0.9)
    assert reason == "around: a voice holds NaN or an infinity"


def test_the_active_version_is_compared_in_the_rows_of_a_grown_graph() -> None:
    graph = cast(HeteroGraph, Grown())
    (signal,) = in_rows_of(graph, made_snapshot()).signals
    rows = np.concatenate(list(signal.all_rows()))
    old = Grown.items.rows(ITEMS[1:])
    (before,) = made_signal().all_rows()
    np.testing.assert_array_equal(rows[np.ix_(old, old)], before[1:, 1:])
    new = np.delete(np.arange(len(Grown.items)), old)
    assert not rows[new].any()
    assert not rows[:, new].any()


class Grown:
    """A graph without `i0`, with items before and after the others."""

    items = IdMap(["a", *ITEMS[1:], "z"])
    users = categories = IdMap(())


class TwoSteps:
    """What is two steps away from a new item."""

    def has_metapath(self, name: str) -> bool:
        return False

    async def two_steps(self, items: list[str], kinds: Any) -> Any:
        return {item: (["i3", "i6"], [0.5, 0.25]) for item in items}


async def test_new_evidence_has_a_fresh_row() -> None:
    evidence = Evidence((EvidenceNode("item", "i2", 1.0), EvidenceNode("item", "new", 1.0)))
    live = await with_live_rows(cast(Store, TwoSteps()), made_snapshot(), {}, evidence)
    (signal,) = live.blend.signals
    (found,), (before,) = signal.all_rows(), made_signal().all_rows()
    assert list(signal.ids) == ["i2", "new"]
    np.testing.assert_array_equal(found[0], before[2])
    assert found[1].tolist() == [0, 0, 0, 1.0, 0, 0, 0.5, 0]
