"""`recsvc links`: how well a model of a knowledge graph tells links that were held out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from loaders.types import HeteroGraph
from recsvc.errors import SettingsError, TrainingError
from recsvc.evaluation.links import (
    LinkMetrics,
    LinkScores,
    filtered_ranks,
    frequency_scores,
    hold_out_links,
    link_metrics,
    links_of,
    without_links,
)
from recsvc.event_kinds import EventSettings, speaking_kinds
from recsvc.models import MODELS, FitRun, ModelOptions
from recsvc.training.fit import Watch, known_model, train, training_data, unwatched


@dataclass(frozen=True, slots=True)
class LinksFound:
    """What one model reaches.

    Attributes:
        model: its name.
        options: with what they left open.
        epochs: it was trained for, chosen on a part of the interactions that are left.
        links: facts in all.
        held_out: of these, those that were to be found.
        metrics: by relation, and `all`.
        by_frequency: the same of a list by how many such links each node has.
        seconds: of the fits.
        interrupted: whether Ctrl-C ended them; the model is the best there was by then.
    """

    model: str
    options: Mapping[str, Any]
    epochs: int | None
    links: int
    held_out: int
    metrics: Mapping[str, LinkMetrics]
    by_frequency: Mapping[str, LinkMetrics]
    seconds: float
    interrupted: bool


def link_model(name: str) -> str:
    """The name, if it is of a model that scores links.

    Raises:
        SettingsError: there is no such model, or it scores none.
    """
    if not MODELS[known_model(name)].scores_links:
        able = ", ".join(other for other, spec in MODELS.items() if spec.scores_links)
        raise SettingsError(f"{name} scores no links between nodes: expected one of {able}")
    return name


def find_links(
    name: str,
    graph: HeteroGraph,
    events: Mapping[str, EventSettings],
    options: ModelOptions,
    run: FitRun,
    watch: Watch = unwatched,
) -> LinksFound:
    """Hold out links of every relation, train on the rest, and rank them.

    Args:
        name: of a model that scores links.
        graph: nodes and relationships.
        events: settings by kind of event; a kind that counts nothing is no relation.
        options: of the model.
        run: seed and device.
        watch: see `Watch`.

    Raises:
        TrainingError: the model cannot be fitted, or no link can be held out.
        KeyboardInterrupt: Ctrl-C came when there was no model yet.
    """
    links = links_of(graph, speaking_kinds(graph.interactions.events, events))
    held_out = hold_out_links(links, run.seed)
    if not held_out.any():
        raise TrainingError(
            f"none of {len(links)} links can be held out, as each node keeps one: take more data"
        )
    left = without_links(graph, links.take(held_out))
    trained = train(name, training_data(left, events), options, run, watch=watch)
    # `link_model` has seen that it has them.
    learned = cast(LinkScores, cast(Any, trained.model).link_scores)
    relation = links.relation[held_out]

    def measured(score: LinkScores) -> Mapping[str, LinkMetrics]:
        return link_metrics(filtered_ranks(score, links, held_out), relation, links.relations)

    fits = [fit.seconds for fit in (trained.tried, trained.report) if fit is not None]
    return LinksFound(
        name, trained.options.model_dump(mode="json"), trained.epochs, len(links),
        int(held_out.sum()), measured(learned), measured(frequency_scores(links.take(~held_out))),
        sum(fits), trained.interrupted,
    )  # fmt: skip
