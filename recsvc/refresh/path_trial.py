"""What a meta-path would add to the blend, without a refresh.

The other signals are those that the last refresh from scratch made for validation. Only the rows of
the meta-path that is tried are made, and like those signals they know nothing of what is held out.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float64, Int64
from numpy.typing import NDArray

from loaders.catalogue import Catalogue
from loaders.gateway import Gateway, taken
from loaders.types import HeteroGraph
from loaders.value_file import read_value
from recsvc.blend.blend import BASE
from recsvc.blend.fit import Journal, Parts, SplitSignals, split_signals
from recsvc.blend.hold_out import ValidationSplit, all_evidence, held_out_mask, split_by
from recsvc.blend.learn import learned_blend, learned_weights, relied, validation_accuracy
from recsvc.blend.weights import Candidates
from recsvc.errors import RefreshError
from recsvc.evaluation.metrics import Estimate, bootstrap
from recsvc.event_kinds import EventSettings, speaking_kinds
from recsvc.evidence import EvidenceKind, evidence_matrix, of_users
from recsvc.explain.path_clauses import path_in_clauses
from recsvc.graph.pasteable_cypher import path_parameters
from recsvc.graph.rows import found_path
from recsvc.refresh.metapath_queries import Neo4jPaths
from recsvc.refresh.options import RefreshOptions
from recsvc.refresh.parts import Progress
from recsvc.refresh.pipeline import KEPT
from recsvc.refresh.run_journal import step_file
from recsvc.refresh.trial_basis import FOLDER, PURPOSE, basis_manifest, nothing_kept
from recsvc.signals.metapath import evidence_ids, metapath_kind
from recsvc.signals.walk import strongest_paths, walk_rows

VALIDATION_SECONDS: Final = 30.0
"""What a file without a walk may take for the validation users: no user is begun later."""
ROWS_SECONDS: Final = 10.0
"""What it may take for rows of other evidence, which are counted."""
EXAMPLES: Final = 5
_FOLDS = 5
_RESAMPLES = 2_000
_EVIDENCE_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class Example:
    """The best item of a user by the meta-path alone.

    Attributes:
        user_id: the user.
        item_id: the item.
        title: of the item, "" where it has none.
        path: how the meta-path leads there, in words.
    """

    user_id: str
    item_id: str
    title: str
    path: str


@dataclass(frozen=True, slots=True)
class Trial:
    """What a meta-path gives and would add.

    Attributes:
        metapath: its name.
        run: the refresh whose signals it is compared with.
        evidence_nodes: those that were asked.
        all_evidence_nodes: those that there are of the kind.
        reaching: those asked that lead to an item.
        rows: pairs of evidence and item from those asked, of each node the strongest.
        items: those reached from these.
        users: validation users that it was measured on.
        all_users: validation users that there are.
        alone: Recall@20 and NDCG@20 of the meta-path alone.
        weight: λ in the blend with it, in which the largest is 1.
        with_it: Recall@20 and NDCG@20 of the blend with it.
        gain: by how much these are above those of the blend without it, of the same users. λ is
            learned on four fifths of the users and measured on the others, five times.
        examples: what it alone would recommend.
    """

    metapath: str
    run: str
    evidence_nodes: int
    all_evidence_nodes: int
    reaching: int
    rows: int
    items: int
    users: int
    all_users: int
    alone: Mapping[str, Estimate]
    weight: float
    with_it: Mapping[str, Estimate]
    gain: Mapping[str, Estimate]
    examples: Sequence[Example]


def try_metapath(
    gateway: Gateway, home: Path, queries: Catalogue, name: str, progress: Progress
) -> Trial:
    """Measure a meta-path on the validation users of the last refresh from scratch.

    Args:
        gateway: the graph.
        home: `RECSVC_HOME`.
        queries: with the meta-path among them.
        name: of the meta-path.
        progress: told what is done.

    Raises:
        RefreshError: nothing of such a refresh is kept on this machine.
        Neo4jError: the graph cannot be read.
    """
    manifest, basis = basis_manifest(home), _Basis(home / FOLDER)
    progress("read the last refresh", 0, 1)
    extracted = basis.kept("graph")
    options = RefreshOptions.model_validate(manifest.identity.options)
    given = manifest.identity.events
    events = {kind: EventSettings.model_validate(event) for kind, event in given.items()}
    graph: HeteroGraph = extracted.graph
    evidence = evidence_matrix(graph, events, now=extracted.at)
    kinds = speaking_kinds(graph.interactions.events, events)
    split = _split(graph, evidence, options)
    signals = split_signals(Parts(options, kinds, basis.fit, None, basis), split, purpose=PURPOSE)
    progress("read the last refresh", 1, 1)
    names: dict[EvidenceKind, Sequence[str]] = {
        "item": extracted.details.titles, "user": (), "category": extracted.details.category_names,
    }  # fmt: skip
    tried = _Tried(gateway, queries, name, graph, kinds, options, names, progress)
    order = np.random.default_rng(options.seed).permutation(len(split.users))
    walked = tried.walked(split.graph)
    raw = tried.validation_scores(split, order, walked)
    order = order[: raw.shape[0]]
    signals = _with(signals, name, raw, order)
    candidates, weights = _learned(signals, progress)
    measured = _measured(candidates, signals.kinds, signals.many, name, weights, progress)
    asked, rows = tried.rows()
    return Trial(
        metapath=name,
        run=manifest.run,
        evidence_nodes=asked,
        all_evidence_nodes=rows.shape[0],
        reaching=int((np.diff(rows.indptr) > 0).sum()),
        rows=rows.nnz,
        items=len(np.unique(rows.indices)),
        users=len(order),
        all_users=len(split.users),
        examples=tried.examples(split, split.users[order], raw, walked),
        **measured,
    )


def _split(graph: HeteroGraph, evidence: sp.csr_matrix, options: RefreshOptions) -> ValidationSplit:
    """The split that a refresh with these options makes.

    Raises:
        RefreshError: nobody is in it.
    """
    split = split_by(held_out_mask(graph, evidence, options, options.seed), graph, evidence)
    if not len(split.users):
        raise RefreshError(
            "no user has enough items to hold some out: a meta-path cannot be measured"
        )
    return split


def _learned(signals: SplitSignals, progress: Progress) -> tuple[Candidates, Mapping[str, float]]:
    """The candidates by some signals, as far as each is relied on, and λ."""
    progress("candidates", 0, 1)
    candidates = signals.candidates()
    weights, reliance = learned_blend(signals, candidates)
    candidates = relied(candidates, signals.relied(reliance))
    progress("candidates", 1, 1)
    return candidates, weights


@dataclass(frozen=True, slots=True)
class _Basis(Journal):
    """What the steps of a refresh have made; nothing is made again."""

    folder: Path

    def kept(self, name: str, make: Any = None) -> Any:
        """What a step made.

        Raises:
            RefreshError: it is not there.
        """
        try:
            return read_value(step_file(self.folder, name), KEPT)
        except (OSError, ValueError):
            raise nothing_kept() from None

    def fit(self, name: str, *_: Any, **__: Any) -> Any:
        """A model as that refresh fitted it: a `recsvc.blend.fit.FitModel`."""
        return self.kept(f"fit {name} {PURPOSE}")


def _with(
    signals: SplitSignals, name: str, raw: sp.csr_matrix, order: Int64[NDArray[np.int64], " n"]
) -> SplitSignals:
    """The signals of some of the users, with the meta-path as the last one."""
    others = {path: scores[order] for path, scores in signals.paths.items() if path != name}
    return replace(
        signals,
        split=replace(signals.split, users=signals.split.users[order]),
        given=of_users(signals.given, order),
        signals=tuple(signal for signal in signals.signals if signal.name != name),
        paths=others | {name: raw},
    )


def _measured(
    candidates: Candidates,
    kinds: Mapping[str, EvidenceKind],
    many: Bool[NDArray[np.bool_], " users"],
    name: str,
    weights: Mapping[str, float],
    progress: Progress,
) -> dict[str, Any]:
    """What the fields of `Trial` say that are measured on the validation users.

    Args:
        candidates: with r_s(u) in their features, which are these signals, then the prior.
        kinds: the evidence that each signal starts from.
        many: the users that λ is learned on.
        name: of the meta-path, one of them.
        weights: λ, learned on all users.
        progress: told what is done.
    """
    others = dict(kinds)
    del others[name]
    without = [n for n, other in enumerate([*kinds, BASE]) if other != name]
    users = candidates.present.shape[0]
    by_user_of = {
        key: {metric: np.zeros(users) for metric in ("recall@20", "ndcg@20")}
        for key in ("with", "without")
    }
    folds = min(_FOLDS, users)
    progress("weights", 0, folds)
    for fold in range(folds):
        asked = np.arange(users) % folds == fold
        for key, chosen in (("with", range(len(kinds) + 1)), ("without", without)):
            own = kinds if key == "with" else others
            learned = learned_weights(_part(candidates, chosen, ~asked & many), own)
            by_user = validation_accuracy(_part(candidates, chosen, asked), learned)["hybrid"]
            for metric, values in by_user.items():
                by_user_of[key][metric][asked] = values
        progress("weights", fold + 1, folds)
    alone = validation_accuracy(candidates, weights)[name]
    gain = {metric: by_user_of["with"][metric] - by_user_of["without"][metric] for metric in alone}
    return {
        "alone": _estimates(alone), "weight": weights[name],
        "with_it": _estimates(by_user_of["with"]), "gain": _estimates(gain),
    }  # fmt: skip


def _estimates(
    by_user: Mapping[str, Float64[NDArray[np.float64], " users"]],
) -> dict[str, Estimate]:
    return dict(bootstrap(by_user, _RESAMPLES, 0))


def _part(
    candidates: Candidates, signals: Sequence[int], users: Bool[NDArray[np.bool_], " users"]
) -> Candidates:
    """The candidates of some users, by some signals."""
    return replace(
        candidates,
        features=candidates.features[list(signals)][:, users],
        relevant=candidates.relevant[users],
        present=candidates.present[users],
        n_relevant=candidates.n_relevant[users],
    )


@dataclass(frozen=True, slots=True)
class _Tried:
    """The meta-path that is tried, on the graph as the refresh read it.

    Attributes:
        names: titles of items and names of categories, in the order of their rows.
    """

    gateway: Gateway
    queries: Catalogue
    name: str
    graph: HeteroGraph
    kinds: tuple[str, ...]
    options: RefreshOptions
    names: Mapping[EvidenceKind, Sequence[str]]
    progress: Progress

    @property
    def kind(self) -> EvidenceKind:
        return metapath_kind(self.name)

    @property
    def paths(self) -> Neo4jPaths:
        return Neo4jPaths(self.gateway, self.queries)

    def walked(self, graph: HeteroGraph) -> sp.csr_matrix | None:
        """The rows of all evidence by the walk that the file declares; None where it has none."""
        walk = self.queries[f"metapaths/{self.name}"].walk
        return walk_rows(walk, graph, self.kinds, self.options.row_size) if walk else None

    def validation_scores(
        self,
        split: ValidationSplit,
        order: Int64[NDArray[np.int64], " n"],
        walked: sp.csr_matrix | None,
    ) -> sp.csr_matrix:
        """Raw scores of validation users in this order, by rows without what is held out.

        Of a file without a walk there is a row for as many users as can be done in time.
        """
        query, what = self.queries[f"metapaths/{self.name}"], f"{self.name} for validation"
        users = split.users[order]
        given = all_evidence(split.graph, split.kept, users)[self.kind]
        size = self.options.row_size
        if walked is not None:
            return sp.csr_matrix(given @ walked)
        until = time.monotonic() + VALIDATION_SECONDS
        if query.reads is None or "INTERACTED" in query.reads:
            return self.paths.held_out_scores(
                self.name, split.graph, split.held_out, given, users, kinds=self.kinds, size=size,
                progress=self.progress, until=until,
            )  # fmt: skip
        scores = [sp.csr_matrix((0, len(self.graph.items))).astype(np.float32)]
        for number in range(len(users)):
            if time.monotonic() > until:
                break
            scores.append(given[[number]] @ self.rows_of(given[[number]].indices))
            self.progress(what, number + 1, len(users))
        return sp.csr_matrix(sp.vstack(scores, format="csr", dtype=np.float32))

    def rows_of(self, evidence: NDArray[np.integer]) -> sp.csr_matrix:
        """The rows of some evidence, by Neo4j."""
        ids = evidence_ids(self.graph)[self.kind]
        return self.paths.rows(
            self.name, self.graph, self.kinds, self.options.row_size,
            lambda _what, _done, _total: None,
            wanted=[ids[int(row)] for row in evidence],
        )  # fmt: skip

    def rows(self) -> tuple[int, sp.csr_matrix]:
        """How many evidence nodes were asked, and their rows."""
        nodes = len(evidence_ids(self.graph)[self.kind])
        if (walked := self.walked(self.graph)) is not None:
            return nodes, walked
        order = np.random.default_rng(self.options.seed).permutation(nodes)
        rows, asked = sp.csr_matrix((nodes, len(self.graph.items))).astype(np.float32), 0
        until = time.monotonic() + ROWS_SECONDS
        while asked < nodes and time.monotonic() < until:
            some = order[asked : asked + _EVIDENCE_AT_ONCE]
            rows, asked = rows + self.rows_of(some), asked + len(some)
            self.progress(f"rows of {self.name}", asked, nodes)
        return asked, rows.tocsr()

    def examples(
        self,
        split: ValidationSplit,
        users: Int64[NDArray[np.int64], " n"],
        raw: sp.csr_matrix,
        walked: sp.csr_matrix | None,
    ) -> list[Example]:
        """What the meta-path alone would recommend to the first users that it says something of."""
        given = all_evidence(split.graph, split.kept, users)[self.kind]
        seen = split.kept[users]
        chosen: list[tuple[int, int, int]] = []
        for number, user in enumerate(users.tolist()):
            scores = raw[[number]].toarray()[0]
            scores[seen[[number]].indices] = 0.0
            if len(chosen) == EXAMPLES:
                break
            if scores.max(initial=0.0) <= 0.0:
                continue
            item, own = int(scores.argmax()), given[[number]]
            rows = self.rows_of(own.indices) if walked is None else walked
            shares = own.data * rows[own.indices][:, [item]].toarray()[:, 0]
            chosen.append((user, int(own.indices[shares.argmax()]), item))
        words = self._in_words(split.graph, [(evidence, item) for _, evidence, item in chosen])
        start = {"item": "has", "user": "follows", "category": "prefers"}[self.kind]
        ids, items = self.graph.users, self.graph.items
        return [
            Example(ids[user], items[item], self.names["item"][item], f"{ids[user]} {start} {path}")
            for (user, _, item), path in zip(chosen, words, strict=True)
        ]

    def _in_words(self, graph: HeteroGraph, pairs: Sequence[tuple[int, int]]) -> list[str]:
        """The strongest path of each pair of rows, from the evidence on."""
        walk = self.queries[f"metapaths/{self.name}"].walk
        if walk is None:
            return [self._drawn(*pair) for pair in pairs]
        kinds: list[EvidenceKind] = [
            _KINDS[walk.start],
            *(_KINDS[hop.ends[1]] for hop in walk.hops),
        ]
        steps = [(hop.type, hop.forward) for hop in walk.hops]
        words: list[str] = []
        for path in strongest_paths(walk, graph, self.kinds, pairs):
            start, *others = zip(kinds, path, strict=True)
            on = ["somebody" if kind == "user" else self._named(kind, row) for kind, row in others]
            words.append(path_in_clauses([self._named(*start), *on], steps))
        return words

    def _named(self, kind: EvidenceKind, row: int) -> str:
        """The title or name of a node, else its id."""
        names = self.names[kind]
        return (names[row] if names else "") or evidence_ids(self.graph)[kind][row]

    def _drawn(self, evidence: int, item: int) -> str:
        """The strongest path as Neo4j draws it; both ends alone where no file says how."""
        paths: Sequence[Any] = ()
        if f"explain/{self.name}" in self.queries:
            pair = evidence_ids(self.graph)[self.kind][evidence], self.graph.items[item]
            query = self.queries[f"serve/paths[{self.name}]"]
            parameters = path_parameters([pair], None, self.kinds, limit=1)
            paths = self.gateway.run(query, **taken(query, parameters))[0]["paths"]
        if not paths:
            start, end = self._named(self.kind, evidence), self._named("item", item)
            return f"{start}, which leads to {end}"
        path = found_path(*paths[0])
        names = [
            "somebody" if kind == "user" and number else str(title or node_id)
            for number, (kind, node_id, title) in enumerate(path.nodes)
        ]
        at, order, steps = 0, [names[0]], list[tuple[str, bool]]()
        for step, start, end in path.steps:
            steps.append((step, start == at))
            at = end if start == at else start
            order.append(names[at])
        return path_in_clauses(order, steps)


_KINDS: Mapping[str, EvidenceKind] = {"User": "user", "Item": "item", "Category": "category"}
