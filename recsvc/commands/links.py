"""Links of the graph: held out and found again."""

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from recsvc.commands import console
from recsvc.commands._shared import (
    AsJson,
    Assignments,
    Device,
    Seed,
    device_of,
    epoch_bars,
    say_unknown_kinds,
    training_graph,
)
from recsvc.event_kinds import unknown_kinds
from recsvc.settings import load_settings

if TYPE_CHECKING:
    from recsvc.evaluation.links import LinkMetrics
    from recsvc.evaluation.metrics import Estimate
    from recsvc.training.links import LinksFound

_SHOWN = {"MRR": "mrr", "Hits@10": "hits@10"}


def links(
    models: Annotated[list[str], typer.Argument(help="complex, distmult or transe, or several.")],
    data: Annotated[
        str | None, typer.Option(help="Folder of tables or data set, instead of the graph.")
    ] = None,
    seed: Seed = 0,
    device: Device = None,
    assignments: Assignments = None,
    as_json: AsJson = False,
) -> None:
    """Hold out links of every relation, train on the rest, rank them among all nodes."""
    from recsvc.models import FitRun
    from recsvc.refresh.options import model_values
    from recsvc.training.fit import assigned, model_options
    from recsvc.training.links import find_links, link_model

    settings = load_settings()
    chosen = {
        name: model_options(name, model_values(settings, name, assigned(name, assignments or [])))
        for name in map(link_model, models)
    }
    graph = training_graph(settings, data)
    say_unknown_kinds(unknown_kinds(graph.interactions.events, settings.events))
    run = FitRun(seed, device=device_of(device))
    results: list[LinksFound] = []
    for name, options in chosen.items():
        with epoch_bars(name) as watch:
            results.append(find_links(name, graph, settings.events, options, run, watch))
    if as_json:
        console.print_json({"models": {one.model: dataclasses.asdict(one) for one in results}})
        return
    for one in results:
        if one.interrupted:
            console.say(f"interrupted: {one.model} is the best there was by then")
        _print_found(one)


def _print_found(one: "LinksFound") -> None:
    console.say(
        f"{one.model}: {one.held_out:,} of {one.links:,} links held out, {one.epochs} epochs"
    )
    for shown, metric in _SHOWN.items():
        rows = [
            _row(relation, own, metric, one.by_frequency[relation].values[metric])
            for relation, own in one.metrics.items()
        ]
        columns = ("relation", "links", "mean", "95%", "by frequency")
        console.print_table(f"{one.model}, {shown} of held-out links, both ends", columns, rows)


def _row(relation: str, own: "LinkMetrics", metric: str, usual: "Estimate") -> tuple[str, ...]:
    estimate = own.values[metric]
    interval = f"{estimate.low:.4f} to {estimate.high:.4f}"
    return relation, f"{own.links:,}", f"{estimate.mean:.4f}", interval, f"{usual.mean:.4f}"
