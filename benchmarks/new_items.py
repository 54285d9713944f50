"""What the vectors of an item's neighbourhood are worth, until a refresh learns its own.

    python benchmarks/new_items.py [--share 0.2]

A random share of Last.fm's artists counts as new: models are fitted without them. A fifth of what
users did with the others is held out and looked for. Given is what is left, with the new artists,
or of the new artists alone, like somebody who came for them. These say nothing, or what their
neighbourhood says (as the service has it), or, for comparison, what a model learns that was fitted
with them. The list is ranked by the model alone, among the artists that are not new.
"""

import argparse
from collections.abc import Mapping

import numpy as np
import polars as pl
import scipy.sparse as sp
from _environment import describe
from numpy.typing import NDArray

from benchmarks.warm_start import said, signal_of, training_data
from loaders.datasets.lastfm import LastfmTables
from loaders.tables import INTERACTIONS
from recsvc.evaluation.metrics import Estimate, Evaluation, evaluate, paired_difference, top_k
from recsvc.evaluation.splits import entries, hold_out
from recsvc.models import MODELS, FitRun
from recsvc.signals import EmbeddingSignal
from recsvc.signals.embedding import neighbourhood_vectors

MODEL_NAMES = ("lightgcn", "node2vec")
LEAST_PEOPLE = 3
"""That a new artist has."""


def main() -> None:
    """Print NDCG@20 and Recall@20 with intervals, and the differences."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--share", type=float, default=0.2, help="of the artists that are new")
    share: float = parser.parse_args().share
    print(describe(), flush=True)
    did = last_fm()
    rng = np.random.default_rng(0)
    known_enough = did.getnnz(axis=0) >= LEAST_PEOPLE
    new = known_enough & (rng.random(did.shape[1]) < share)
    mask = hold_out(did, 0.2, seed=0) & ~new[did.indices]
    given, wanted = entries(did, ~mask), entries(did, mask)
    old = sp.csr_matrix(given @ sp.diags((~new).astype(np.float32)))
    old.eliminate_zeros()
    alone = sp.csr_matrix(given - old)
    alone.eliminate_zeros()
    print(f"{new.sum():,} of {did.shape[1]:,} artists are new, {alone.nnz:,} listens of them")
    shares = two_steps(given, np.flatnonzero(new))
    for name in MODEL_NAMES:
        before, after = (fitted(name, evidence) for evidence in (old, given))
        source = before.source.copy()
        source[new] = neighbourhood_vectors(before.source, old.getnnz(axis=0), shares)
        near = before.with_evidence(before.ids, source)
        for what, evidence in (("all that is left", given), ("new artists alone", alone)):
            users = np.flatnonzero(np.diff(evidence.indptr) * np.diff(wanted.indptr))
            found = {
                how: ranked(signal, evidence, given, wanted, new, users)
                for how, signal in (("nothing", before), ("neighbourhood", near), ("own", after))
            }
            print(f"{name}, given {what}, {len(users):,} users")
            for how, each in found.items():
                print(f"    {how:14} {said(shown(each.estimates))}")
            change = paired_difference(found["neighbourhood"], found["nothing"], resamples=2_000)
            print(f"    neighbourhood - nothing: {said(shown(change))}", flush=True)


def shown(estimates: Mapping[str, Estimate]) -> dict[str, Estimate]:
    """The two that are printed."""
    return {metric: estimates[metric] for metric in ("ndcg@20", "recall@20")}


def last_fm() -> sp.csr_matrix:
    """Evidence [users, artists]: the number of listens to the power of 0.3."""
    batches = LastfmTables().batches(INTERACTIONS, lambda *_: None)
    frame = pl.concat(batches).select("user_id", "item_id", "value")
    user, item = (np.unique(frame[name], return_inverse=True)[1] for name in ("user_id", "item_id"))
    return sp.csr_matrix((frame["value"].to_numpy().astype(np.float32) ** 0.3, (user, item)))


def two_steps(given: sp.csr_matrix, rows: NDArray[np.int64]) -> sp.csr_matrix:
    """Where a walk from some items is after two steps, as in cypher/serve/two_steps.cypher."""
    links = sp.csr_matrix(
        (np.ones(given.nnz, np.float32), given.indices, given.indptr), given.shape
    )
    people = sp.csr_matrix(links[:, rows].T)
    mean = sp.diags(1.0 / np.maximum(1, np.diff(people.indptr))) @ people
    walk = sp.csr_matrix(mean @ sp.diags(1.0 / np.maximum(1, np.diff(links.indptr))) @ links)
    keep = np.ones(given.shape[1], np.float32)
    keep[rows] = 0.0  # the snapshot does not have them
    return sp.csr_matrix(walk @ sp.diags(keep))


def fitted(name: str, evidence: sp.csr_matrix) -> EmbeddingSignal:
    """A model with its default options and epochs."""
    data = training_data(evidence)
    model, _ = MODELS[name].fit(data, MODELS[name].options(), FitRun(0))
    signal = signal_of(model, data)
    assert isinstance(signal, EmbeddingSignal)
    return signal


def ranked(
    signal: EmbeddingSignal, evidence: sp.csr_matrix, seen: sp.csr_matrix, wanted: sp.csr_matrix,
    new: NDArray[np.bool_], users: NDArray[np.int64],
) -> Evaluation:  # fmt: skip
    """Full ranking of the artists that are not new and that a user does not know."""

    def score(_rows: NDArray[np.int64], own: sp.csr_matrix) -> NDArray[np.float32]:
        scores = signal.batch_scores(own)
        scores[:, new] = -np.inf
        return scores

    ranking = top_k(score, evidence, k=20, user_index=users, seen=seen)
    return evaluate(ranking, wanted, seen, cuts=(20,), resamples=1_000)


if __name__ == "__main__":
    main()
