"""Blends and evidence for property tests."""

import numpy as np
import scipy.sparse as sp
from hypothesis import strategies as st

from loaders.types import IdMap
from recsvc.blend.blend import Blend
from recsvc.blend.reliance import ALIKE, Reliance
from recsvc.evidence import EVIDENCE_KINDS, Evidence, EvidenceKind, EvidenceNode
from recsvc.signals import EmbeddingSignal, RowSignal

N_ITEMS = 12
IDS: dict[EvidenceKind, IdMap] = {
    "item": IdMap([f"i{n:02}" for n in range(N_ITEMS)]),
    "user": IdMap([f"u{n}" for n in range(4)]),
    "category": IdMap([f"c{n}" for n in range(3)]),
}
# Binary fractions: weights that cancel do so exactly, in whatever order they are added.
WEIGHT = st.sampled_from([-2.0, -0.5, -0.25, 0.125, 0.5, 1.0, 3.0])


def ids_of(n_items: int) -> dict[EvidenceKind, IdMap]:
    return {**IDS, "item": IdMap([f"i{n:05}" for n in range(n_items)])}


def made_blend(
    rng: np.random.Generator,
    ids: dict[EvidenceKind, IdMap],
    weights: tuple[float, ...] = (1.0, 1.0, 0.1, 0.1),
    base_weight: float = 0.001,
    reliance: Reliance = ALIKE,
) -> Blend:
    """Vectors, and rows from each kind of evidence, for as many items as there are ids."""
    n_items = len(ids["item"])
    source, target = rng.normal(size=(2, n_items, 5)).astype(np.float32)
    signals: list[EmbeddingSignal | RowSignal] = [
        EmbeddingSignal("lightgcn", ids["item"], source, target)
    ]
    for kind in EVIDENCE_KINDS:
        shape = (len(ids[kind]), n_items)
        rows = rng.random(shape) * (rng.random(shape) < 0.4)
        rows = sp.csr_matrix(rows.astype(np.float32))
        # Of two signals that start from items one hears the latest.
        half_life = 1.5 if kind == "item" else None
        signals.append(RowSignal(f"{kind}_path", kind, ids[kind], rows, half_life=half_life))
    prior = rng.random(n_items).astype(np.float32)
    return Blend(tuple(signals), weights, prior, base_weight, reliance)


@st.composite
def blends(draw: st.DrawFn) -> Blend:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    weights = draw(st.tuples(*[st.sampled_from([0.0, 0.1, 1.0])] * 4))
    exponents = draw(st.tuples(*[st.sampled_from([0.0, 0.5, 1.0, 2.0])] * 3))
    of_items = {"lightgcn": draw(st.sampled_from([-0.5, 0.0, 1.0]))}
    reliance = Reliance(*exponents, of_items)
    return made_blend(rng, IDS, weights, draw(st.sampled_from([0.001, 0.5])), reliance)


@st.composite
def evidences(draw: st.DrawFn) -> Evidence:
    """Evidence of all kinds, some of which no signal knows."""
    known = [(kind, i) for kind in EVIDENCE_KINDS for i in [*IDS[kind], "unknown"]]
    chosen = draw(st.lists(st.sampled_from(known), unique=True, max_size=8))
    return Evidence(
        tuple(
            EvidenceNode(
                kind, i, draw(WEIGHT),
                since=draw(st.sampled_from([None, 0, 1, 7])) if kind == "item" else None,
            )
            for kind, i in chosen
        )
    )  # fmt: skip
