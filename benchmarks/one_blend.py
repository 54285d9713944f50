"""Whether `evaluate hybrid` ranks as a refreshed Neo4j serves, for every user of a data set.

    python benchmarks/one_blend.py [DATASET] [--seed N] [--set name=value …] [--data DIR]

The data sets are those of accuracy.py; DIR holds a folder of each. The same training tables are
learned from on arrays, and by way of an empty Neo4j of its own. Printed are the number of users
whose first 20 items differ, the largest difference of a score among the first 50, and how long each
took.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from _environment import describe

from benchmarks._accuracy_data import DATA, DATASETS, read_split
from recsvc.settings import load_settings
from recsvc.training.experiment import TrialOptions, rank_fitted
from recsvc.training.served_experiment import rank_as_served


def main() -> None:
    """Learn twice, rank everybody twice, compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("dataset", nargs="?", choices=DATASETS, default="lastfm")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--data", type=Path, default=DATA)
    given = parser.parse_args()
    print(describe(), flush=True)
    split, data = read_split(given.dataset, given.data, given.seed)
    data = replace(data, users=np.arange(len(data.graph.users)))
    print(f"{given.dataset}: {split.how}; {len(data.users):,} users", flush=True)
    options = TrialOptions(seed=given.seed, assignments=given.set)
    settings = load_settings()
    started = time.perf_counter()
    offline = rank_fitted("hybrid", data, options).ranking
    print(f"on tables: {time.perf_counter() - started:.0f} s", flush=True)
    started = time.perf_counter()
    served = rank_as_served(data, options, settings.events, home=settings.home, say=print).ranking
    print(f"as served: {time.perf_counter() - started:.0f} s", flush=True)
    differing = (offline.items[:, :20] != served.items[:, :20]).any(axis=1)
    both = np.isfinite(offline.scores) & np.isfinite(served.scores)
    difference = np.abs(offline.scores[both] - served.scores[both]).max(initial=0.0)
    print(
        f"first 20 items differ for {np.count_nonzero(differing):,} users; "
        f"largest difference of a score {difference:.1e}"
    )


if __name__ == "__main__":
    main()
