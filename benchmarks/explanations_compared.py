"""The project's explanations beside SHAP, LIME, GNNExplainer, PGExplainer, ACCENT and GREASE.

    python benchmarks/explanations_compared.py [lastfm|ml-100k] [--scorer lightgcn|hybrid]
                                               [--users 500] [--seed 0] [--quick]
                                               [--data DIR] [--save FILE]

All explain the same items of the same lists of the same scorer, fitted on the training part of a
data set: LightGCN alone, linear in a user's items; or the blend that is served, which is no graph
network, so that GNNExplainer and PGExplainer have nothing to explain. One item of the ten best of
each user is drawn. A method that gives an order of the evidence takes the shortest beginning of it
without which the item leaves the ten best, of five pieces at most; asking the scorer for that is
part of its time. Whatever a method claims is checked by scoring all items again.

`--quick` compares the project and the ACCENT-like search alone.

`--save` writes a line for each explanation as it is made, and goes on from what is there. It needs
shap and lime: pip install --constraint constraints.txt '.[benchmarks]'.
"""

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
from _environment import describe
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks._accuracy_data import DATA, read_split
from benchmarks._explained_scorer import LIST, Case, Scorer
from benchmarks._explainers import (
    Found,
    Method,
    by_accent,
    by_chance,
    by_gnnexplainer,
    by_grease,
    by_lime,
    by_pgexplainer,
    by_project,
    by_shap,
)
from recsvc.explain.counterfactual import LARGEST_SET

CITED = 3
"""Pieces that are taken away of each order, to compare the orders alone."""
TRAINED_ON = 100
"""Users on whom PGExplainer learns; others than those who are explained."""
RESAMPLES = 2000
PROJECT = "the project"


@dataclass(frozen=True, slots=True)
class Row:
    """One explanation, checked.

    Attributes:
        user: row of the user.
        method: its name.
        size: pieces of the set; 0 where none was found.
        valid: whether the item leaves the list without the set.
        fall: ranks that it falls without the set; 0 without one.
        fall_cited: ranks that it falls without the first pieces of the order.
        single: whether any piece alone makes it leave the list: all were tried.
        milliseconds: of one explanation.
    """

    user: int
    method: str
    size: int
    valid: bool
    fall: int
    fall_cited: int
    single: bool
    milliseconds: float


def main() -> None:
    """Fit, explain, check, and print one table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("dataset", nargs="?", choices=("lastfm", "ml-100k"), default="lastfm")
    parser.add_argument("--scorer", choices=("lightgcn", "hybrid"), default="lightgcn")
    parser.add_argument("--users", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="the project and ACCENT-like alone")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--save", type=Path, metavar="FILE")
    given = parser.parse_args()
    packages = ("shap", "lime", "torch-geometric", "scikit-learn")
    print(describe(), *(f"{name} {metadata.version(name)}" for name in packages), flush=True)
    split, data = read_split(given.dataset, given.data, given.seed)
    print(f"{given.dataset}: {split.how}", flush=True)
    scorer = (Scorer.hybrid if given.scorer == "hybrid" else Scorer.lightgcn)(data, given.seed)
    pieces = scorer.pieces()
    enough = np.flatnonzero(pieces >= 2 * CITED)
    order = np.random.default_rng(given.seed).permutation(enough)
    users, others = order[: given.users], order[given.users :][:TRAINED_ON]
    started = time.perf_counter()
    trained_on = [scorer.case(user, np.random.default_rng(user)) for user in others.tolist()]
    methods = {PROJECT: by_project(scorer), "ACCENT-like": by_accent(scorer)}
    if not given.quick:
        methods |= _others(scorer, given.seed, trained_on)
    if "PGExplainer" in methods:
        print(f"PGExplainer learned for {time.perf_counter() - started:.1f} s", flush=True)
    _warm(methods, trained_on[0])
    rows = _explained(scorer, methods, users.tolist(), given.save)
    print(
        f"{len(users):,} users with {2 * CITED} pieces of evidence or more, "
        f"{np.median(pieces[users]):.0f} at the median, {pieces[users].max()} at most"
    )
    _print(rows, list(methods))


def _others(scorer: Scorer, seed: int, trained_on: list[Case]) -> dict[str, Method]:
    methods = {
        "GREASE-like": by_grease(scorer),
        "SHAP": by_shap(scorer),
        "LIME": by_lime(scorer, seed),
        "any order": by_chance(seed),
    }
    if scorer.signal is not None:
        methods["GNNExplainer"] = by_gnnexplainer(scorer, seed)
        methods["PGExplainer"] = by_pgexplainer(scorer, seed, trained_on)
    return methods


def _warm(methods: Mapping[str, Method], case: Case) -> None:
    """The first call of some compiles."""
    for method in methods.values():
        method(case)


def _explained(
    scorer: Scorer, methods: Mapping[str, Method], users: Sequence[int], file: Path | None
) -> list[Row]:
    rows = _saved(file)
    done = {row.user for row in rows}
    for user in track(users, console=Console(stderr=True)):
        if user in done:
            continue
        case = scorer.case(user, np.random.default_rng(user))
        singles = scorer.ranks(case, [[position] for position in range(case.pieces)])
        own = [
            _row(scorer, case, user, name, method, single=bool((singles > LIST).any()))
            for name, method in methods.items()
        ]
        rows += own
        if file is not None:
            with file.open("a") as lines:
                lines.writelines(json.dumps(asdict(row)) + "\n" for row in own)
    return [row for row in rows if row.user in set(users)]


def _saved(file: Path | None) -> list[Row]:
    if file is None or not file.exists():
        return []
    return [Row(**json.loads(line)) for line in file.read_text().splitlines()]


def _row(scorer: Scorer, case: Case, user: int, name: str, method: Method, *, single: bool) -> Row:
    started = time.perf_counter()
    found = method(case)
    chosen = found.chosen if found.chosen is not None else _beginning(scorer, case, found)
    seconds = (time.perf_counter() - started) / found.items
    before, without, cited = scorer.ranks(case, [(), chosen, found.order[:CITED]]).tolist()
    return Row(
        user, name, len(chosen), bool(chosen) and without > LIST, without - before, cited - before,
        single, 1000.0 * seconds,
    )  # fmt: skip


def _beginning(scorer: Scorer, case: Case, found: Found) -> tuple[int, ...]:
    """The shortest beginning of an order without which the item leaves the list."""
    beginnings = [found.order[:size] for size in range(1, LARGEST_SET + 1)]
    left = np.flatnonzero(scorer.ranks(case, beginnings) > LIST)
    return beginnings[left[0]] if len(left) else ()


def _print(rows: Sequence[Row], names: Sequence[str]) -> None:
    table = Table(title=f"one item of the {LIST} best of each user, with 95% intervals")
    for column in (
        "", "claims that hold", "explained", "one piece, where one does it", "pieces",
        "ranks fallen", f"without the first {CITED}", "the project's first", "ms",
        "times the project's",
    ):  # fmt: skip
        table.add_column(column)
    ours = {row.user: row for row in rows if row.method == PROJECT}
    for name in names:
        own = [row for row in rows if row.method == name]
        against = [ours[row.user] for row in own]
        table.add_row(name, *_cells(own, against))
    Console(width=250).print(table)


def _cells(own: Sequence[Row], ours: Sequence[Row]) -> list[str]:
    """The cells of one method."""
    claimed = np.array([row.size > 0 for row in own])
    valid = np.array([row.valid for row in own])
    single = np.array([row.single for row in own])
    size, fall, cited, spent = (
        np.array([getattr(row, name) for row in own], float)
        for name in ("size", "fall", "fall_cited", "milliseconds")
    )
    least = np.array([row.milliseconds for row in ours])
    more = np.array([row.fall_cited for row in ours]) - cited
    return [
        f"{np.count_nonzero(valid & claimed):,} of {np.count_nonzero(claimed):,}",
        _share(valid),
        _share((valid & (size == 1))[single]),
        _median(size[valid]),
        _median(fall[valid]),
        _median(cited),
        f"{np.mean(more > 0):.0%} more, {np.mean(more < 0):.0%} less",
        _median(spent, ".3g"),
        _median(spent / least, ".3g"),
    ]


def _share(hits: NDArray[np.bool_]) -> str:
    return _estimate(hits.astype(float), np.mean, ".1%")


def _median(values: NDArray[np.float64], form: str = ".3g") -> str:
    return _estimate(values, np.median, form)


def _estimate(values: NDArray[np.float64], of: object, form: str) -> str:
    """A mean or median, with its 95% percentile interval over users."""
    if not len(values):
        return ""
    assert callable(of)
    drawn = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.quantile(of(values[drawn], axis=1), [0.025, 0.975])
    return f"{of(values):{form}} [{low:{form}}, {high:{form}}]"


if __name__ == "__main__":
    main()
