"""How the signals of a blend are made, for a refresh and on tables alike.

Some interactions of a sample of users are held out. Every signal is made from what is left: trained
models find their best epoch on what is held out, and `recsvc.blend.learn` learns the weights on it.
Then the same signals are made from everything, with the epochs found.

Models are fitted by a function that is given, and what a meta-path says that declares no walk is
asked of something that is given: nothing here knows a model or a database.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Protocol, TypeVar

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float32, Int64
from numpy.typing import NDArray

from loaders.types import HeteroGraph
from recsvc.blend.blend import BASE, LEAST_WEIGHT, Blend, scaled_scores, unit_rms
from recsvc.blend.hold_out import ValidationSplit, all_evidence
from recsvc.blend.options import BlendOptions
from recsvc.blend.parts import Fitted, Tables
from recsvc.blend.reliance import ALIKE, Reliance, effective_counts
from recsvc.blend.weights import Candidates, candidates_in_parts
from recsvc.evidence import EvidenceKind, EvidenceMatrices, of_users
from recsvc.signals import RowSignal, Signal
from recsvc.signals.content import share_of
from recsvc.signals.metapath import (
    PathQueries,
    all_rows,
    evidence_ids,
    held_out_rows,
    held_out_scores,
    metapath_kind,
    usable_metapaths,
)
from recsvc.signals.pagerank import PAGERANK, pagerank_rows
from recsvc.signals.popularity import popularity_prior

_T = TypeVar("_T")

LEAST_USERS = 10
"""Validation users that it takes to learn λ: what fewer happen to like says too little."""


class Journal:
    """Records each step; this one keeps nothing, and tells nobody."""

    __slots__ = ()

    def kept(self, name: str, make: Callable[[], _T]) -> _T:
        """What an earlier attempt made, else what `make` makes."""
        return make()

    def step(self, name: str) -> AbstractContextManager[None]:
        """One step."""
        return nullcontext()

    def told(self, what: str, done: int, total: int) -> None:
        """Report progress."""


class FitModel(Protocol):
    """Fits one model."""

    def __call__(
        self,
        name: str,
        graph: HeteroGraph,
        evidence: sp.csr_matrix,
        purpose: str = "",
        *,
        held_out: sp.csr_matrix | None = None,
        epochs: int | None = None,
        start: Tables = (),
        share: float = 1.0,
    ) -> Fitted:
        """Fit it, or take what an earlier attempt has fitted.

        Args:
            name: of the model.
            graph: nodes and relationships.
            evidence: weights of all users, [users, items].
            purpose: what the fit is for, if not to be served.
            held_out: chooses the number of epochs, [users, items].
            epochs: their number.
            start: tables that the fit goes on from, instead of a beginning of its own.
            share: of its training, how much there is then.

        Raises:
            TrainingError: it cannot be fitted, or is not linear in a user's items.
        """
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What a blend is made of, and how each part of it is made.

    Attributes:
        options: which models, and the sizes of rows.
        kinds: of events, those that speak for an item on meta-paths.
        fit: fits a model.
        queries: runs the meta-paths that declare no walk; without it they take no part.
        journal: records the steps.
    """

    options: BlendOptions
    kinds: tuple[str, ...]
    fit: FitModel
    queries: PathQueries | None
    journal: Journal


@dataclass(frozen=True, slots=True, eq=False)
class SplitSignals:
    """Every signal, made from what a split has left.

    Attributes:
        split: the split.
        epochs: by model; 0 for one without epochs.
        given: what is left of the users of the split.
        signals: models, PageRank and the meta-paths whose rows can be had without the rest.
        paths: raw scores of the users of the split by each of the others, [users, items].
        prior: from what is left.
        tables: by model; see `Fitted.tables`.
    """

    split: ValidationSplit
    epochs: Mapping[str, int]
    given: EvidenceMatrices
    signals: tuple[Signal, ...]
    paths: Mapping[str, sp.csr_matrix]
    prior: Float32[NDArray[np.float32], " items"]
    tables: Mapping[str, Tables]

    @property
    def kinds(self) -> dict[str, EvidenceKind]:
        """The evidence that each signal starts from, in the order of `scores`."""
        kinds: dict[str, EvidenceKind] = {signal.name: signal.kind for signal in self.signals}
        kinds.update((name, metapath_kind(name)) for name in self.paths)
        return kinds

    def scores(
        self, some: slice | Int64[NDArray[np.int64], " n"]
    ) -> list[Float32[NDArray[np.float32], "n items"]]:
        """Scores by each signal, what λ is put on, and the prior, for some users of the split."""
        given = of_users(self.given, some)
        scores = [scaled_scores(signal, signal.weighed_of(given)) for signal in self.signals]
        raw = (path_scores[some].toarray() for path_scores in self.paths.values())
        scores += [(s * unit_rms(s)[:, None]).astype(np.float32) for s in raw]
        return [*scores, np.broadcast_to(self.prior, scores[0].shape)]

    def relied(self, reliance: Reliance) -> Float32[NDArray[np.float32], "signals users"]:
        """r_s(u) of each signal, and of the prior, for the users of the split."""
        counts = effective_counts(self.given)
        factors = [reliance.signal(*signal, *counts) for signal in self.kinds.items()]
        return np.array([*factors, reliance.base(counts[0])], np.float32)

    @property
    def many(self) -> Bool[NDArray[np.bool_], " users"]:
        """The users that λ is learned on: those with many items, or all where those are few.

        With few items the parts say much the same, and less of what λ is to tell.
        """
        many = self.split.has_many
        return many if many.sum() >= LEAST_USERS else np.ones_like(many)

    def candidates(self) -> Candidates:
        """What λ is learned on; its features are the signals, then the prior."""
        asked = (self.split.kept[self.split.users], self.split.held_out[self.split.users])
        return candidates_in_parts(self.scores, len(self.kinds) + 1, *asked)


@dataclass(frozen=True, slots=True, eq=False)
class Whole:
    """The signals made from everything, put together.

    Attributes:
        blend: what answers are made from.
        fitted: by model.
        cut: share of the weight of its rows that was cut off, by model without vectors, and of
            PageRank where they were made.
    """

    blend: Blend
    fitted: Mapping[str, Fitted]
    cut: Mapping[str, float]


def split_signals(
    parts: Parts,
    split: ValidationSplit,
    epochs: Mapping[str, int] | None = None,
    purpose: str = "for validation",
) -> SplitSignals:
    """Make every signal from what a split has left, or take what an earlier step has made.

    Args:
        parts: how.
        split: what is left, and what is held out.
        epochs: of each model; found on what is held out unless given.
        purpose: in the names of the steps.

    Raises:
        TrainingError: a model cannot be fitted.
    """
    graph, evidence = split.graph, split.kept
    fitted = {
        name: parts.fit(
            name, graph, evidence, purpose, held_out=split.held_out if epochs is None else None,
            epochs=(epochs or {}).get(name) or None,
        )
        for name in parts.options.models
    }  # fmt: skip
    signals = [part.signal(name, graph.items) for name, part in fitted.items()]
    given = all_evidence(graph, evidence, split.users)
    asked = np.unique(given["item"].indices).astype(np.int64)
    signals.append(_pagerank(parts, graph, evidence, f"pagerank {purpose}", asked)[0])
    signals += _path_signals(parts, graph, given, f"rows {purpose}")
    return SplitSignals(
        split, {name: part.epochs for name, part in fitted.items()}, given, tuple(signals),
        _path_scores(parts, split, given, f"paths {purpose}"), popularity_prior(evidence),
        {name: part.tables for name, part in fitted.items() if part.tables},
    )  # fmt: skip


def fit_whole(
    parts: Parts,
    graph: HeteroGraph,
    evidence: sp.csr_matrix,
    weights: Mapping[str, float],
    epochs: Mapping[str, int],
    earlier_rows: Callable[[str], sp.csr_matrix | None] = lambda _path: None,
    tables: Mapping[str, Tables] = MappingProxyType({}),
    share: float = 1.0,
    reliance: Reliance = ALIKE,
    for_new: float = 0.0,
) -> Whole:
    """Make every signal from everything, and put them together.

    Without any evidence there is nothing to fit a model to, and none takes part.

    Args:
        parts: how.
        graph: nodes and relationships.
        evidence: weights of all users, [users, items].
        weights: λ by signal; 0 of one that is not named.
        epochs: by model; 0 for one without epochs.
        earlier_rows: the rows of PageRank or a meta-path, where they are known already.
        tables: that the fits go on from, by model; see `Learned.tables`.
        share: see `Learned.share`.
        reliance: what the parts count for with little known.
        for_new: λ of what items say of themselves, see `Learned.for_new`.

    Raises:
        TrainingError: a model cannot be fitted.
    """
    fitted = {
        name: parts.fit(
            name,
            graph,
            evidence,
            epochs=epochs.get(name) or None,
            start=tables.get(name, ()),
            share=share,
        )
        for name in (parts.options.models if evidence.nnz else ())
    }
    of_rows, cut = row_signals(parts, graph, evidence, earlier_rows)
    signals = (*(part.signal(name, graph.items) for name, part in fitted.items()), *of_rows)
    people = evidence.getnnz(axis=0).astype(np.int64)
    signals, given = with_shares(signals, weights, for_new, people)
    # The prior orders what no evidence reaches, whatever weight it was given.
    base = max(weights.get(BASE, 0.0), LEAST_WEIGHT)
    blend = Blend(signals, tuple(given.values()), popularity_prior(evidence), base, reliance)
    rows = {name: part.cut for name, part in fitted.items() if sp.issparse(part.kernel)}
    return Whole(blend, fitted, cut | rows)


def with_shares(
    signals: tuple[Signal, ...],
    weights: Mapping[str, float],
    for_new: float,
    people: Int64[NDArray[np.int64], " items"],
) -> tuple[tuple[Signal, ...], dict[str, float]]:
    """The signals and their λ, such that new items have a λ of their own.

    Args:
        signals: made from everything.
        weights: λ by signal, for items that many had.
        for_new: λ of what items say of themselves, for those that nobody had.
        people: how many users had each item.
    """
    given = {signal.name: weights.get(signal.name, 0.0) for signal in signals}
    shared: list[Signal] = []
    for signal in signals:
        if not signal.of_people and for_new > given[signal.name]:
            signal = signal.shared(share_of(people, given[signal.name] / for_new))
            given[signal.name] = for_new
        shared.append(signal)
    return tuple(shared), given


def row_signals(
    parts: Parts,
    graph: HeteroGraph,
    evidence: sp.csr_matrix,
    earlier_rows: Callable[[str], sp.csr_matrix | None] = lambda _path: None,
) -> tuple[list[Signal], dict[str, float]]:
    """PageRank and every meta-path, over all evidence nodes of the whole graph.

    Args:
        parts: how.
        graph: nodes and relationships.
        evidence: weights of all users, [users, items].
        earlier_rows: the rows of PageRank or a meta-path, where they are known already.

    Returns:
        The signals, and the share of the mass of PageRank's rows that was cut off, where they were
        made.
    """
    ids, cut = evidence_ids(graph), dict[str, float]()
    earlier = earlier_rows(PAGERANK)
    if earlier is None:
        pagerank, cut[PAGERANK] = _pagerank(parts, graph, evidence, PAGERANK)
    else:
        pagerank = RowSignal(PAGERANK, "item", graph.items, earlier, parts.options.damping)

    def rows(name: str) -> sp.csr_matrix:
        with parts.journal.step(name):
            earlier = earlier_rows(name)
            if earlier is not None:
                return earlier
            size, told = parts.options.row_size, parts.journal.told
            return all_rows(parts.queries, name, graph, parts.kinds, size, told)

    signals: list[Signal] = [pagerank]
    for name, kind in usable_metapaths(parts.queries).items():
        path_rows = parts.journal.kept(name, partial(rows, name))
        signals.append(RowSignal(name, kind, ids[kind], path_rows))
    return signals, cut


def _pagerank(
    parts: Parts,
    graph: HeteroGraph,
    evidence: sp.csr_matrix,
    what: str,
    items: Int64[NDArray[np.int64], " n"] | None = None,
) -> tuple[Signal, float]:
    """PageRank's rows, of all items or of some, and the share of their mass that was cut off."""
    options = parts.options

    def rows() -> tuple[sp.csr_matrix, float]:
        with parts.journal.step(what):
            matrix, _, cut = pagerank_rows(
                graph, evidence, damping=options.damping, epsilon=options.pagerank_epsilon,
                size=options.row_size, items=items, progress=partial(parts.journal.told, what),
            )  # fmt: skip
        return matrix, cut

    rows_of_items, cut = parts.journal.kept(what, rows)
    return RowSignal(PAGERANK, "item", graph.items, rows_of_items, options.damping), cut


def _path_signals(
    parts: Parts, graph: HeteroGraph, given: EvidenceMatrices, what: str
) -> list[Signal]:
    """The meta-paths whose rows can be had without what is held out, of the evidence given."""

    def rows() -> dict[str, sp.csr_matrix]:
        with parts.journal.step(what):
            return held_out_rows(
                parts.queries, graph, given,
                kinds=parts.kinds, size=parts.options.row_size, progress=parts.journal.told,
            )  # fmt: skip

    ids = evidence_ids(graph)
    return [
        RowSignal(name, (kind := metapath_kind(name)), ids[kind], path_rows)
        for name, path_rows in parts.journal.kept(what, rows).items()
    ]


def _path_scores(
    parts: Parts, split: ValidationSplit, given: EvidenceMatrices, what: str
) -> dict[str, sp.csr_matrix]:
    """Raw scores of the users of a split by each other meta-path."""

    def scores() -> dict[str, sp.csr_matrix]:
        with parts.journal.step(what):
            return held_out_scores(
                parts.queries, split.graph, split.held_out, given, split.users,
                kinds=parts.kinds, size=parts.options.row_size, progress=parts.journal.told,
            )  # fmt: skip

    return parts.journal.kept(what, scores)
