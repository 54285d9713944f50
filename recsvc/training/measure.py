"""How good the lists of one model or several are: compared with the test table, once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Int64
from numpy.typing import NDArray

from recsvc.evaluation.beyond_accuracy import diversity
from recsvc.evaluation.groups import (
    BY_ITEMS_KNOWN,
    BY_PEOPLE,
    COLD_AND_WARM,
    METRICS,
    CountGroups,
    ItemGroup,
    K,
    PerUser,
    UserGroup,
    by_items_known,
    by_people,
)
from recsvc.evaluation.metrics import (
    Estimate,
    Evaluation,
    Ranking,
    bootstrap,
    evaluate,
    paired_difference,
)
from recsvc.evaluation.significance import Comparison, compare
from recsvc.settings import EventSettings
from recsvc.signals.popularity import popularity_prior
from recsvc.training.experiment import (
    Ranked,
    TrialData,
    TrialOptions,
    best_available,
    properties_of,
    rank_fitted,
    read_trial,
)

_RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Groups:
    """How one model does by how much is known.

    Attributes:
        by_items_known: accuracy by how many items are known of a user.
        by_people: how items fare by how many people have them.
        cold_users: accuracy for users of whom few items are known, and for the others.
        cold_items: how items fare that few people have, and the others.
    """

    by_items_known: Sequence[UserGroup]
    by_people: Sequence[ItemGroup]
    cold_users: Sequence[UserGroup]
    cold_items: Sequence[ItemGroup]


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """How good the rankings are.

    Attributes:
        evaluations: metrics with intervals, by model.
        difference: by how much the first of two models is above the second, by metric.
        comparisons: of every two models, by `METRICS`.
        groups: by model.
    """

    evaluations: Mapping[str, Evaluation]
    difference: Mapping[str, Estimate] | None
    comparisons: Sequence[Comparison]
    groups: Mapping[str, Groups]


def measure(every: Sequence[Ranked], data: TrialData) -> Measured:
    """Compare rankings with the answers, and with each other.

    All is measured on the same lists. By group they are compared with the popular list too: the
    same order of items for everybody.
    """
    evaluations = {one.model: _evaluated(one.ranking, data) for one in every}
    prior = popularity_prior(data.evidence)
    popular = best_available(
        data, lambda users, _: np.broadcast_to(prior, (len(users), len(prior))), data.evidence, K
    )
    people = np.zeros(data.held_out.shape[1], np.int64)
    people[: len(prior)] = data.evidence.getnnz(axis=0)
    of_popular = _per_user(popular, data)
    return Measured(
        evaluations,
        paired_difference(*evaluations.values()) if len(evaluations) == 2 else None,
        compare(evaluations, METRICS),
        {one.model: _groups(one, evaluations[one.model], data, people, popular, of_popular)
         for one in every},
    )  # fmt: skip


def _evaluated(ranking: Ranking, data: TrialData) -> Evaluation:
    """The metrics of `evaluate`, and the diversity of the lists."""
    evaluation = evaluate(ranking, data.held_out, data.evidence, resamples=_RESAMPLES)
    listed = np.isin(ranking.user_index, evaluation.user_index)
    spread = diversity(ranking.items[listed], data.evidence)
    return replace(
        evaluation,
        per_user={**evaluation.per_user, **spread},
        estimates={**evaluation.estimates, **bootstrap(spread, _RESAMPLES, seed=0)},
    )


def _per_user(ranking: Ranking, data: TrialData) -> PerUser:
    return evaluate(ranking, data.held_out, data.evidence, cuts=(K,), resamples=1).per_user


def _groups(
    one: Ranked,
    evaluation: Evaluation,
    data: TrialData,
    people: Int64[NDArray[np.int64], " items"],
    popular: Ranking,
    of_popular: PerUser,
) -> Groups:
    items_known = np.diff(data.asked.indptr)[evaluation.user_index]
    parts = {name: _per_user(part, data) for name, part in one.parts.items()}

    def users(groups: CountGroups) -> Sequence[UserGroup]:
        return by_items_known(items_known, evaluation.per_user, of_popular, parts, groups)

    def items(groups: CountGroups) -> Sequence[ItemGroup]:
        return by_people(people, data.held_out, one.ranking, popular, groups)

    return Groups(
        users(BY_ITEMS_KNOWN), items(BY_PEOPLE), users(COLD_AND_WARM), items(COLD_AND_WARM)
    )


def evaluate_model(
    model: str,
    train_file: Path,
    test_file: Path,
    options: TrialOptions,
    events: Mapping[str, EventSettings],
    *,
    side: str | None = None,
) -> Evaluation:
    """Fit a model on one table, rank all items without those of that table, measure on another.

    Args:
        model: its name.
        train_file: interactions to learn from.
        test_file: interactions to find, looked at once.
        options: how the model is chosen and fitted.
        events: settings by kind of event.
        side: folder or named data set whose other tables (follows, categories) count too.

    Raises:
        TableError: a table cannot be read, or nothing of test is to be found.
        SettingsError: no such model, option or published configuration.
        TrainingError: the model cannot be fitted.
    """
    wanted = properties_of([model], options)
    data = read_trial(train_file, test_file, side, events, wanted)
    return measure([rank_fitted(model, data, options)], data).evaluations[model]
