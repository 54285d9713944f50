"""Kernels over evidence: each signal is `K(evidence node, item)` (DESIGN §1).

A user's raw score for an item is Σ_j e_j · K(j, item), so the terms of the sum are the exact
contributions of the evidence.
"""

from recsvc.signals.base import Signal
from recsvc.signals.content import ContentSignal
from recsvc.signals.embedding import EmbeddingSignal
from recsvc.signals.inductive import InductiveSignal
from recsvc.signals.rows import RowSignal

__all__ = [
    "STORED",
    "ContentSignal",
    "EmbeddingSignal",
    "InductiveSignal",
    "RowSignal",
    "Signal",
]

STORED: dict[str, type[Signal]] = {
    signal.form: signal for signal in (ContentSignal, EmbeddingSignal, InductiveSignal, RowSignal)
}
"""The classes of signals that versions are served from, by the name that is stored."""
