# pyright: basic
# numba's decorators are untyped.
"""What follows what: the items that people turn to after an item."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from time import perf_counter
from typing import no_type_check

import numba
import numpy as np
import scipy.sparse as sp
from jaxtyping import Float32, Int64
from numpy.typing import NDArray
from pydantic import Field

from loaders.types import IdMap
from recsvc.blend.hold_out import split_by
from recsvc.evaluation.metrics import mean_ndcg
from recsvc.evaluation.splits import entries, hold_out
from recsvc.evidence import (
    EvidenceMatrices,
    has_order,
    latest_evidence,
    pair_times,
    since_matrix,
)
from recsvc.models._rows import largest_entries
from recsvc.models.base import (
    FitReport,
    FitRun,
    ModelOptions,
    Range,
    Told,
    TrainingData,
    require_evidence,
    untold,
)
from recsvc.signals.degrees import power
from recsvc.signals.rows import RowSignal

SEARCH = {
    "half_life": Range(0.5, 50.0, logarithmic=True),
    "decay": Range(0.3, 1.0),
    "shrinkage": Range(0.1, 100.0, logarithmic=True),
    "beta": Range(0.0, 1.0),
}

_START: Mapping[str, float] = {"half_life": 5.0, "beta": 0.5, "shrinkage": 5.0, "decay": 0.8}
_CHOICES: Mapping[str, tuple[float, ...]] = {
    "half_life": (1.0, 30.0),
    "beta": (0.0, 1.0),
    "shrinkage": (0.5, 30.0),
    "decay": (0.5,),
}
"""What is tried in the place of `_START`, one option after the other."""
_HELD_OUT, _USERS = 0.2, 1000
_ENTRIES_AT_ONCE = 8_000_000
"""Transitions that are held before those of one pair are added up."""


class TransitionsOptions(ModelOptions):
    """Options of the transitions. What is None is chosen on the latest part of the evidence."""

    window: int = Field(default=10, ge=1, le=100)
    """Items before an item that it counts as following, those of the moments next to it."""
    decay: float | None = Field(default=None, gt=0.0, le=1.0)
    """What a transition over one moment more counts. None: the better one of 0.5 and 0.8."""
    shrinkage: float | None = Field(default=None, ge=0.0, le=1e6)
    """Transitions that are added to those of each item, so that few of them say little. None: the
    best of 0.5, 5 and 30."""
    beta: float | None = Field(default=None, ge=0.0, le=2.0)
    """How much an item is held back that follows many others. None: the best of 0, 0.5 and 1."""
    half_life: float | None = Field(default=None, gt=0.0, le=1e6)
    """Later items after which an item of a user says half as much. None: the best of 1, 5 and
    30."""
    neighbours: int = Field(default=500, ge=1)
    """Largest kernel entries kept for each item."""


@dataclass(frozen=True, slots=True, eq=False)
class TransitionsModel:
    """One sparse row of items for each item, and how fast what a user did fades.

    Attributes:
        rows: K(j, i), float32 [items, items].
        half_life: see `TransitionsOptions`.
        since: when the users of the fit did what they did, see `EvidenceMatrices`.
    """

    rows: sp.csr_matrix
    half_life: float
    since: sp.csr_matrix

    @property
    def name(self) -> str:
        """See `FittedModel.name`."""
        return "transitions"

    def scores(
        self, user_index: Int64[NDArray[np.int64], " n"], evidence: sp.csr_matrix
    ) -> Float32[NDArray[np.float32], "n items"]:
        """See `FittedModel.scores`; the order is that of the fit."""
        given: EvidenceMatrices = {"item": evidence, "since": self.since[user_index]}
        return (latest_evidence(given, self.half_life) @ self.rows).toarray().astype(np.float32)

    def signal(self, items: IdMap) -> RowSignal:
        """See `FittedModel.signal`."""
        return RowSignal(self.name, "item", items, self.rows, half_life=self.half_life)


def speaks(data: TrainingData) -> bool:
    """See `ModelSpec.speaks`."""
    return has_order(data.graph)


def memory_bytes(data: TrainingData, options: TransitionsOptions) -> int:
    """Bytes of the sequences, of the transitions that are held at once, and of the kernel."""
    pairs = data.evidence.nnz
    counted = min(pairs * options.window, _ENTRIES_AT_ONCE + pairs)
    cells = min(pairs * options.window, len(data.graph.items) * options.neighbours)
    # int64, int32 and float32 arrays of the sequences; the sums of a block are sorted and cut.
    return 48 * pairs + 56 * counted + 8 * cells


def fit(
    data: TrainingData, options: TransitionsOptions, run: FitRun
) -> tuple[TransitionsModel, FitReport]:
    """Count the transitions. See `Fit`.

        score(u, i) = Σ_j e_uj 2^(-s_uj / half_life) K(j, i)
        K(j, i)     = C_ji / ((C_j + h) (C'_i + h)^β)
        C_ji        = Σ_v ē_vi γ^(g_v(j, i) - 1)

    s_uj is how many items the user did something with after j. C_ji adds up over the users who had
    j before i, at most `window` items before it. g is the number of moments from one to the other:
    things done at one time do not follow each other. ē_vi is the evidence divided by its mean for
    the user. C_j is the sum of C_ji over i, and C'_i that over j. An item that somebody had several
    times counts when they had it last.

    These are sequential rules (Ludewig & Jannach 2018, "Evaluation of session-based recommendation
    algorithms", §3.1), of which the weight falls with the distance, with a half-life in place of
    the session's last item alone (V-SKNN, §3.3), shrunk (Dacrema et al. 2019) and with popular ends
    held back (RP³β, Paudel et al. 2017).

    How fast what a user did fades, and how popular ends are held back, is another thing where
    people shop than where they walk about. What the options leave open is what finds best, by
    NDCG@20, the latest fifth of the items of a sample of 1,000 users: one option after the other.

    Raises:
        TrainingError: there is no evidence.
    """
    start = perf_counter()
    require_evidence(data)
    chosen = resolved(data, options, run.seed, run.told)
    model = _counted(_Sequences.of(data), since_matrix(data.graph), chosen)
    return model, FitReport.without_epochs(start, memory_bytes(data, options))


def resolved(
    data: TrainingData, options: TransitionsOptions, seed: int, told: Told = untold
) -> TransitionsOptions:
    """The options with what they leave open."""
    open_names = [name for name in _CHOICES if getattr(options, name) is None]
    best = options.model_copy(update={name: _START[name] for name in open_names})
    mask = hold_out(data.evidence, _HELD_OUT, seed=seed, times=pair_times(data.graph))
    if not open_names or not mask.any():
        return best
    split = split_by(mask, data.graph, data.evidence)
    sequences = _Sequences.of(replace(data, graph=split.graph, evidence=split.kept))
    since = since_matrix(split.graph)
    sample = np.random.default_rng(seed).permutation(split.users)[:_USERS]
    owner = np.repeat(np.arange(len(data.graph.users)), np.diff(split.held_out.indptr))
    wanted = entries(split.held_out, np.isin(owner, sample))

    def ndcg(tried: TransitionsOptions) -> float:
        return mean_ndcg(_counted(sequences, since, tried).scores, split.kept, wanted)

    total, done = 1 + sum(len(_CHOICES[name]) for name in open_names), 1
    highest = ndcg(best)
    for name in open_names:
        for tried in [best.model_copy(update={name: value}) for value in _CHOICES[name]]:
            told(done, total)
            found, done = ndcg(tried), done + 1
            if found > highest:
                best, highest = tried, found
    return best


def _counted(
    sequences: "_Sequences", since: sp.csr_matrix, options: TransitionsOptions
) -> TransitionsModel:
    """The model of options that leave nothing open."""
    rows = largest_entries(_kernel(sequences, options), options.neighbours)
    return TransitionsModel(rows, options.half_life or _START["half_life"], since)


@dataclass(frozen=True, slots=True, eq=False)
class _Sequences:
    """What users did, one after the other.

    Attributes:
        items: how many there are.
        begin: where each user begins, and the end.
        item: of each step, a user's earliest first.
        moment: number of its time among those of the user.
        weight: its evidence, divided by its mean for the user.
    """

    items: int
    begin: Int64[NDArray[np.int64], " users_1"]
    item: Int64[NDArray[np.int64], " steps"]
    moment: Int64[NDArray[np.int64], " steps"]
    weight: Float32[NDArray[np.float32], " steps"]

    @classmethod
    def of(cls, data: TrainingData) -> "_Sequences":
        """Of the evidence of which a time is known."""
        time = pair_times(data.graph).multiply(data.evidence > 0.0).tocsr()
        count = np.diff(time.indptr)
        owner = np.repeat(np.arange(len(count)), count)
        weight = np.asarray(data.evidence[owner, time.indices]).ravel()
        mean = np.bincount(owner, weight, minlength=len(count)) / np.maximum(count, 1)
        order = np.lexsort((time.indices, time.data, owner))
        at = time.data[order]
        # Where a user begins does not matter: moments are compared within a user alone.
        moment = np.cumsum(np.r_[0, at[1:] != at[:-1]][: len(at)])
        return cls(
            time.shape[1], time.indptr.astype(np.int64), time.indices[order].astype(np.int64),
            moment.astype(np.int64), (weight / mean[owner])[order].astype(np.float32),
        )  # fmt: skip


def _kernel(sequences: _Sequences, options: TransitionsOptions) -> Iterator[sp.csr_matrix]:
    """K of some items after another, so that no more transitions are held than fit at once."""
    items = sequences.items
    decay, shrinkage, beta = (getattr(options, n) for n in ("decay", "shrinkage", "beta"))
    steps = (sequences.begin, sequences.item, sequences.moment, sequences.weight)
    powers = decay ** np.arange(options.window + 1.0)
    count, leaving, arriving = np.zeros(items, np.int64), np.zeros(items), np.zeros(items)
    _add_up(*steps, powers, count, leaving, arriving)
    leaving += shrinkage
    arriving = power(arriving + shrinkage, -beta)
    ends = np.concatenate([[0], np.cumsum(count)])
    first = 0
    while first < items:
        last = int(np.searchsorted(ends, ends[first] + _ENTRIES_AT_ONCE, side="right")) - 1
        last = min(max(last, first + 1), items)
        place = ends[first:last] - ends[first]
        target = np.empty(ends[last] - ends[first], np.int32)
        value = np.empty(len(target), np.float32)
        _collect(*steps, powers, first, last, place.copy(), target, value)
        indptr = ends[first : last + 1] - ends[first]
        block = sp.csr_matrix((value, target, indptr), shape=(last - first, items))
        block.sum_duplicates()
        owner = np.repeat(np.arange(first, last), np.diff(block.indptr))
        block.data *= (arriving[block.indices] / leaving[owner]).astype(np.float32)
        yield block
        first = last


@numba.njit(cache=True, nogil=True)
@no_type_check
def _add_up(begin, item, moment, weight, powers, count, leaving, arriving):
    """How many transitions leave each item, and the sums of those that leave and that arrive."""
    window = len(powers) - 1
    for user in range(len(begin) - 1):
        earlier = begin[user]
        for target in range(begin[user], begin[user + 1]):
            if moment[target] != moment[earlier]:
                earlier = target
            for source in range(max(begin[user], earlier - window), earlier):
                value = weight[target] * powers[moment[target] - moment[source] - 1]
                count[item[source]] += 1
                leaving[item[source]] += value
                arriving[item[target]] += value


@numba.njit(cache=True, nogil=True)
@no_type_check
def _collect(begin, item, moment, weight, powers, first, last, place, target_of, value_of):
    """The transitions that leave some items; `place` is where the next one of each goes."""
    window = len(powers) - 1
    for user in range(len(begin) - 1):
        earlier = begin[user]
        for target in range(begin[user], begin[user + 1]):
            if moment[target] != moment[earlier]:
                earlier = target
            for source in range(max(begin[user], earlier - window), earlier):
                if first <= item[source] < last:
                    own = item[source] - first
                    target_of[place[own]] = item[target]
                    value = weight[target] * powers[moment[target] - moment[source] - 1]
                    value_of[place[own]] = value
                    place[own] += 1
