"""What it costs in NDCG@20 to give artists that few people know their share of Last.fm's lists.

    python benchmarks/fairness.py [--seeds 0 1 2] [--data DIR]

A fifth of each user's artists is held out. `hybrid` is fitted on the others and ranks all artists;
then the rule `at_least_share` with `within` 20 is kept, for artists that few people have in the
training table. `had` is the group's share of the first 20 places without the rule, and the
difference is paired over users and seeds, with a 95% interval by bootstrap.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

import numpy as np
from _environment import describe
from jaxtyping import Bool, Float64, Int64
from numpy.typing import NDArray

from benchmarks._accuracy_data import DATA, read_split
from recsvc.blend.fairness import fairness_parts, least_items
from recsvc.blend.ranking import sort_by_score
from recsvc.evaluation.metrics import Ranking, bootstrap, evaluate
from recsvc.models.base import FitRun
from recsvc.training.experiment import TrialData
from recsvc.training.fit import fit_whole, model_options

WITHIN = 20
SHARES = (0.0, 0.1, 0.2, 0.3, 0.5)
FEW = (50, 10)
"""A group holds the artists that fewer people than this have."""
METRIC = f"ndcg@{WITHIN}"


def main() -> None:
    """Fit once for each seed, and print a line for each group and share."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--data", type=Path, default=DATA)
    given = parser.parse_args()
    print(describe(), flush=True)
    found: dict[tuple[int, float], list[tuple[NDArray[np.float64], float, float]]] = {}
    for seed in given.seeds:
        data = read_split("lastfm", given.data, seed)[1]
        model, _ = fit_whole("hybrid", data.learned_from, model_options("hybrid", {}), FitRun(seed))
        scores = [
            np.where(data.available, model.scores(users, data.asked[users]), -np.inf)
            for users in np.array_split(data.users, 50)
        ]
        people = data.evidence.getnnz(axis=0)
        for few in FEW:
            for share in SHARES:
                measured = _measured(data, np.concatenate(scores), people < few, share)
                found.setdefault((few, share), []).append(measured)
    for few in FEW:
        before = np.concatenate([values for values, *_ in found[few, 0.0]])
        catalogue = fmean(each[1] for each in found[few, 0.0])
        had = fmean(each[2] for each in found[few, 0.0])
        print(f"artists of fewer than {few} people: {catalogue:.0%} of all; had {had:.1%}")
        for share in SHARES[1:]:
            after = np.concatenate([values for values, *_ in found[few, share]])
            cost = bootstrap({METRIC: after - before}, 2_000, 0)[METRIC]
            print(
                f"  share {share:.0%}: {METRIC} {before.mean():.4f} -> {after.mean():.4f}, "
                f"{cost.mean:+.4f} ({cost.low:+.4f} to {cost.high:+.4f})",
                flush=True,
            )


def _measured(
    data: TrialData,
    scores: Float64[NDArray[np.float64], "users items"],
    group: Bool[NDArray[np.bool_], " items"],
    share: float,
) -> tuple[NDArray[np.float64], float, float]:
    """NDCG of each user, the group's share of the catalogue, and of the first places."""
    items = np.stack([*_lists(data, scores.astype(np.float64), group, share)])
    ranking = Ranking(data.users, items, np.zeros(items.shape, np.float32))
    measured = evaluate(ranking, data.held_out, data.evidence, cuts=(WITHIN,), resamples=1)
    return measured.per_user[METRIC], float(group.mean()), float(group[items].mean())


def _lists(
    data: TrialData,
    scores: Float64[NDArray[np.float64], "users items"],
    group: Bool[NDArray[np.bool_], " items"],
    share: float,
) -> Iterator[Int64[NDArray[np.int64], " k"]]:
    wanted = least_items(share, WITHIN)
    for user, own in zip(data.users.tolist(), scores, strict=True):
        may = np.isfinite(own)
        may[data.seen[user].indices] = False
        rows = np.flatnonzero(may)
        ruled = own[rows] + fairness_parts(own[rows], group[rows], wanted, WITHIN)
        first = rows[sort_by_score(rows, ruled)[:WITHIN]]
        assert group[first].sum() >= wanted
        yield first


if __name__ == "__main__":
    main()
