"""Weekly refreshes over 8 weeks of check-ins: never, by fine-tuning, from scratch; side by side.

    python benchmarks/warm_start.py [--core 20] [--weeks 8]

sepgcn-gowalla, cut down to users and places with that many counterparts each, or more. The models
are fitted on all that came before the first of the last weeks, and the weights of their blend
are learned there, both on a fifth that is held out. Then each week is ranked three times: by the
models of that first day, by models that went on each week from those of the week before, and by
models that were fitted anew each week, for the same number of epochs. All three are given what the
users did until the week begins, as the service is. They look for the places of the week that a
user has not been to and somebody has, among all places.

Seconds are those of the fit that is served; a refresh from scratch fits each model twice.
"""

import argparse
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from _environment import describe
from numpy.typing import NDArray

from benchmarks._accuracy_data import DATA
from loaders.types import HeteroGraph, IdMap, Interactions
from recsvc.blend.blend import (
    BASE,
    LEAST_WEIGHT,
    Blend,
    collect_candidates,
    learn_weights,
    scaled_scores,
)
from recsvc.blend.parts import Learned, Validated
from recsvc.evaluation.metrics import Estimate, bootstrap, evaluate, top_k
from recsvc.evaluation.splits import entries, hold_out
from recsvc.models import MODELS, FitReport, FitRun, FittedModel, TrainingData, Validation
from recsvc.models.base import Tables
from recsvc.refresh.fine_tuning_state import WarmState
from recsvc.signals import Signal
from recsvc.signals.popularity import popularity_prior

WEEK_SECONDS = 7 * 86_400
MODEL_NAMES = ("lightgcn", "node2vec", "ridge")
STRATEGIES = ("never", "fine-tuned", "from scratch")
WELL_KNOWN = 5
"""Users a place needs on the first day for the direction of its vector to be compared."""
NOTHING = Learned({}, {}, {}, Validated(np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int64)))


@dataclass(frozen=True)
class CheckIns:
    """Who was where, and when."""

    user: NDArray[np.int64]
    place: NDArray[np.int64]
    at: NDArray[np.int64]

    def until(self, end: float) -> sp.csr_matrix:
        """Evidence before a moment: the number of visits to the power of 0.3."""
        before = self.at < end
        shape = (int(self.user.max()) + 1, int(self.place.max()) + 1)
        pairs = (self.user[before], self.place[before])
        visits = sp.csr_matrix((np.ones(before.sum()), pairs), shape=shape)
        visits.sum_duplicates()
        visits.data **= 0.3
        return visits.astype(np.float32)

    def between(self, begin: float, end: float) -> sp.csr_matrix:
        """1 for each pair of a time."""
        during = (self.at >= begin) & (self.at < end)
        found = self.until(np.inf)
        pairs = (self.user[during], self.place[during])
        found = sp.csr_matrix((np.ones(during.sum(), np.float32), pairs), shape=found.shape)
        found.sum_duplicates()
        found.data[:] = 1.0
        return found


def main() -> None:
    """Print each week, the differences over all of them, times, and where vectors went."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--core", type=int, default=20)
    parser.add_argument("--weeks", type=int, default=8)
    arguments = parser.parse_args()
    print(describe())
    did = dense(in_core(read(DATA / "sepgcn-gowalla"), arguments.core))
    end = int(did.at.max()) + 1
    begins = [end - WEEK_SECONDS * week for week in range(arguments.weeks, 0, -1)]
    first = did.until(begins[0])
    print(
        f"{arguments.core}-core: {first.shape[0]:,} users, {first.shape[1]:,} places; "
        f"{first.nnz:,} pairs before the {arguments.weeks} weeks, {did.until(end).nnz:,} after",
        flush=True,
    )
    Comparison(did, begins, first).run()


Found = tuple[NDArray[np.int64], Mapping[str, NDArray[np.float64]]]


@dataclass
class Comparison:
    """The three strategies through the weeks.

    Attributes:
        did: all check-ins.
        begins: when each week begins.
        first: what was known on the first day.
        epochs: of each model.
        weights: λ of the blend.
        seconds: of the fits of each model, by strategy.
        found: by strategy and signal, of each week: users, NDCG@20 and Recall@20 of each.
    """

    did: CheckIns
    begins: list[int]
    first: sp.csr_matrix
    epochs: dict[str, int] = field(default_factory=dict)
    weights: dict[str, float] = field(default_factory=dict)
    seconds: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    found: dict[tuple[str, str], list[Found]] = field(default_factory=dict)

    def run(self) -> None:
        """All weeks."""
        self._learn()
        data = training_data(self.first)
        models = {name: self._fit(name, data, "first") for name in MODEL_NAMES}
        never = {name: model for name, (model, _) in models.items()}
        tables = {n: report.tables for n, (_, report) in models.items() if report.tables}
        known = self.first
        original = well_known_vectors(never, self.first)
        for week, begin in enumerate(self.begins):
            now = self.did.until(begin)
            data = training_data(now)
            tuned = dict(never)
            if week:
                tuned, tables = self._fine_tune(data, tables, known, week)
            anew = {name: self._fit(name, data, "from scratch")[0] for name in MODEL_NAMES}
            known = now
            wanted = self._wanted(now, begin)
            for strategy, each in zip(STRATEGIES, (never, tuned, anew), strict=True):
                self._measure(
                    strategy, each, self.first if strategy == "never" else now, now, wanted
                )
            self._tell_week(week, now, wanted)
            drift = {
                name: [alignment(original[name], well_known_vectors(each, self.first)[name])
                       for each in (tuned, anew)]
                for name in original
            }  # fmt: skip
            said = (f"{n} {a:.3f}, from scratch {b:.3f}" for n, (a, b) in drift.items())
            print(f"    cosine with the first day's vectors: fine-tuned {'; '.join(said)}")
        self._tell_all()

    def _learn(self) -> None:
        """Numbers of epochs, and λ, on a part of the first day's evidence."""
        mask = hold_out(self.first, 0.2, seed=0)
        kept, held_out = entries(self.first, ~mask), entries(self.first, mask)
        data = training_data(kept)
        users = np.random.default_rng(0).permutation(np.flatnonzero(np.diff(held_out.indptr)))
        users = np.sort(users[:500])
        signals: list[Signal] = []
        for name in MODEL_NAMES:
            run = FitRun(0, Validation(held_out))
            model, report = MODELS[name].fit(data, MODELS[name].options(), run)
            self.epochs[name] = report.epochs
            signals.append(signal_of(model, data))
        scores = [scaled_scores(signal, kept[users]) for signal in signals]
        scores.append(np.broadcast_to(popularity_prior(kept), scores[0].shape))
        rows = [[m[user].indices.astype(np.int64) for user in users] for m in (kept, held_out)]
        names = [*MODEL_NAMES, BASE]
        learned, _ = learn_weights(collect_candidates(scores, *rows), names)
        self.weights = {name: max(learned[name], LEAST_WEIGHT) for name in names}
        print(f"epochs {self.epochs}; weights {self.weights}", flush=True)

    def _fit(
        self, name: str, data: TrainingData, strategy: str, start: Tables = (), seed: int = 0
    ) -> tuple[FittedModel, FitReport]:
        run = FitRun(seed, epochs=self.epochs[name] or None, start=start)
        model, report = MODELS[name].fit(data, MODELS[name].options(), run)
        self.seconds.setdefault((strategy, name), []).append(report.seconds)
        return model, report

    def _fine_tune(
        self, data: TrainingData, tables: Mapping[str, Tables], known: sp.csr_matrix, week: int
    ) -> tuple[dict[str, FittedModel], dict[str, Tables]]:
        """Models that go on from those of the week before; ridge has nothing to go on from."""
        graph = data.graph
        state = WarmState(
            graph.users, graph.items, graph.categories, known, tables, {}, NOTHING, {}, {}, 0.0, 0
        )
        models: dict[str, FittedModel] = {}
        left: dict[str, Tables] = {}
        for name in MODEL_NAMES:
            start = state.placed_tables(name, graph, data.evidence)
            models[name], report = self._fit(name, data, "fine-tuned", start, seed=week)
            if report.tables:
                left[name] = report.tables
        return models, left

    def _wanted(self, now: sp.csr_matrix, begin: int) -> sp.csr_matrix:
        """Places of the week that are new to a user who is known, and known to somebody."""
        visited = self.did.between(begin, begin + WEEK_SECONDS)
        seen = now.copy()
        seen.data[:] = 1.0
        new = sp.csr_matrix(visited - visited.multiply(seen))
        somebody = sp.diags((now.getnnz(axis=0) > 0).astype(np.float32))
        user = sp.diags((np.diff(now.indptr) > 0).astype(np.float32))
        wanted = sp.csr_matrix(user @ new @ somebody)
        wanted.eliminate_zeros()
        wanted.sort_indices()
        return wanted

    def _measure(
        self,
        strategy: str,
        models: Mapping[str, FittedModel],
        fitted_on: sp.csr_matrix,
        now: sp.csr_matrix,
        wanted: sp.csr_matrix,
    ) -> None:
        """Full ranking by each model and by the blend, for the users who have something new."""
        users = np.flatnonzero(np.diff(wanted.indptr))
        data = training_data(fitted_on)
        signals = {name: signal_of(model, data) for name, model in models.items()}
        blend = Blend(
            tuple(signals.values()), tuple(self.weights[name] for name in signals),
            popularity_prior(fitted_on), self.weights[BASE],
        )  # fmt: skip
        scorers = {name: signal.batch_scores for name, signal in signals.items()}
        scorers["blend"] = lambda evidence: blend.batch_scores({"item": evidence})
        for name, scorer in scorers.items():
            ranking = top_k(lambda _, own, s=scorer: s(own), now, k=20, user_index=users)
            found = evaluate(ranking, wanted, now, cuts=(20,), resamples=1)
            per_user = {m: found.per_user[m] for m in ("ndcg@20", "recall@20")}
            self.found.setdefault((strategy, name), []).append((found.user_index, per_user))

    def _tell_week(self, week: int, now: sp.csr_matrix, wanted: sp.csr_matrix) -> None:
        users = np.count_nonzero(np.diff(wanted.indptr))
        grown = now.nnz / self.first.nnz - 1.0
        print(f"week {week + 1}: {users:,} users, {wanted.nnz:,} new pairs, graph +{grown:.1%}")
        for name in (*MODEL_NAMES, "blend"):
            parts = [
                f"{strategy} {said(bootstrap(self.found[strategy, name][week][1], 1000, 0))}"
                for strategy in STRATEGIES
            ]
            print(f"    {name:9} " + "; ".join(parts), flush=True)

    def _tell_all(self) -> None:
        """Means over the weeks of each user, and their differences by paired bootstrap."""
        print("all weeks, each user's mean over the weeks that they are in:")
        for name in (*MODEL_NAMES, "blend"):
            means = {strategy: self._means(strategy, name) for strategy in STRATEGIES}
            for strategy in STRATEGIES:
                print(f"    {name:9} {strategy:12} {said(bootstrap(means[strategy], 1000, 0))}")
            for one, other in (("fine-tuned", "from scratch"), ("fine-tuned", "never"),
                               ("from scratch", "never")):  # fmt: skip
                change = {m: means[one][m] - means[other][m] for m in means[one]}
                print(f"    {name:9} {one} - {other}: {said(bootstrap(change, 2000, 0))}")
        for name in MODEL_NAMES:
            anew, tuned = (np.median(self.seconds[s, name]) for s in ("from scratch", "fine-tuned"))
            print(
                f"    {name}: median fit {anew:.2f} s from scratch, {tuned:.2f} s fine-tuned, "
                f"ratio {anew / tuned:.1f}"
            )

    def _means(self, strategy: str, name: str) -> dict[str, NDArray[np.float64]]:
        weeks = self.found[strategy, name]
        users = np.concatenate([users for users, _ in weeks])
        _, place, count = np.unique(users, return_inverse=True, return_counts=True)
        return {
            metric: np.bincount(place, np.concatenate([v[metric] for _, v in weeks])) / count
            for metric in ("ndcg@20", "recall@20")
        }


def said(estimates: Mapping[str, Estimate]) -> str:
    """NDCG@20 and Recall@20 with their 95% intervals."""
    return " ".join(
        f"{metric} {each.mean:.4f} ({each.low:.4f} to {each.high:.4f})"
        for metric, each in estimates.items()
    )


def signal_of(model: FittedModel, data: TrainingData) -> Signal:
    """The kernel of a model that is linear."""
    signal = model.signal(data.graph.items)
    assert signal is not None
    return signal


def well_known_vectors(
    models: Mapping[str, FittedModel], evidence: sp.csr_matrix
) -> dict[str, NDArray[np.float32]]:
    """Unit vectors of the places that several people knew on the first day, by model."""
    rows = evidence.getnnz(axis=0) >= WELL_KNOWN
    found: dict[str, NDArray[np.float32]] = {}
    for name, model in models.items():
        vectors = getattr(model, "item_vectors", None)
        if vectors is not None:
            found[name] = vectors[rows] / np.linalg.norm(vectors[rows], axis=1, keepdims=True)
    return found


def alignment(before: NDArray[np.float32], after: NDArray[np.float32]) -> float:
    """Median cosine of the vectors of the same place."""
    return float(np.median(np.vecdot(before, after)))


def training_data(evidence: sp.csr_matrix) -> TrainingData:
    """Evidence as what models are fitted on; ids are rows."""
    users, items = (IdMap([f"{row:06}" for row in range(n)]) for n in evidence.shape)
    pairs = evidence.tocoo()
    interactions = Interactions(
        pairs.row.astype(np.int64), pairs.col.astype(np.int64), np.zeros(evidence.nnz, np.int8),
        evidence.data, np.full(evidence.nnz, np.nan), ("interaction",),
    )  # fmt: skip
    return TrainingData(HeteroGraph(users, items, IdMap(()), interactions), evidence)


def read(folder: Path) -> CheckIns:
    """The check-ins of both files of the data set, which were split at random there."""
    columns: list[list[int]] = [[], [], []]
    (archive,) = folder.glob("*.tar.xz")
    with tarfile.open(archive) as files:
        members = {Path(name).name: name for name in files.getnames()}
        for part in ("train", "test"):
            lines = (
                files.extractfile(members[name]).read().decode().splitlines()
                for name in (f"{part}.txt", f"time_{part}.txt")
            )
            for places, times in zip(*lines, strict=True):
                user, *rows = map(int, places.split())
                columns[0] += [user] * len(rows)
                columns[1] += rows
                columns[2] += map(int, times.split()[1:])
    return CheckIns(*(np.array(column, np.int64) for column in columns))


def in_core(did: CheckIns, least: int) -> CheckIns:
    """Users with so many places and places with so many users, again and again until all have."""
    while True:
        pairs = np.unique(np.stack([did.user, did.place]), axis=1)
        users, places = (np.bincount(row)[own] >= least for row, own in
                         zip(pairs, (did.user, did.place), strict=True))  # fmt: skip
        if (users & places).all():
            return did
        kept = users & places
        did = CheckIns(did.user[kept], did.place[kept], did.at[kept])


def dense(did: CheckIns) -> CheckIns:
    """The same with rows that leave none out."""
    user, place = (np.unique(column, return_inverse=True)[1] for column in (did.user, did.place))
    return CheckIns(user, place, did.at)


if __name__ == "__main__":
    main()
