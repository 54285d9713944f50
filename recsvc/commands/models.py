"""Models: fitted, measured, refreshed."""

import dataclasses
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from recsvc import _console as console
from recsvc.commands._shared import (
    AsJson,
    Assignments,
    Device,
    Seed,
    device_of,
    epoch_bar,
    print_document,
    training_graph,
)
from recsvc.connect import open_gateway, with_store
from recsvc.settings import load_settings


def train(
    model: Annotated[str, typer.Argument(help="popularity, walk3, lightgcn or node2vec.")],
    data: Annotated[
        str | None, typer.Option(help="Folder of tables or data set, instead of the graph.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the arrays.")] = None,
    seed: Seed = 0,
    device: Device = None,
    assignments: Assignments = None,
    as_json: AsJson = False,
) -> None:
    """Fit one model: the best epoch on a validation split, then on everything."""
    from recsvc.evidence import evidence_matrix
    from recsvc.models import MODELS, TrainingData
    from recsvc.training import fit_validated, model_options, save_model

    settings = load_settings()
    options = model_options(model, assignments or [])
    graph = training_graph(settings, data)
    times = graph.interactions.last_at
    newest = float(times[times == times].max(initial=0.0))
    training = TrainingData(graph, evidence_matrix(graph, settings.events, now=newest))
    console.say(
        f"{len(graph.users):,} users, {len(graph.items):,} items; the arrays of {model} take "
        f"about {MODELS[model].memory_bytes(training, options) / 2**20:,.0f} MiB"
    )
    with epoch_bar(model) as bar:
        fitted, report, tried = fit_validated(
            model, training, options, seed=seed, device=device_of(device), progress=bar
        )
    document: dict[str, Any] = {
        "model": model,
        "options": options.model_dump(mode="json"),
        "seed": seed,
        "epochs": report.epochs,
        "validation_ndcg@20": tried.metric,
        "seconds": tried.seconds + report.seconds,
        "users": len(graph.users),
        "items": len(graph.items),
        "interactions": len(graph.interactions),
    }
    if out is not None:
        save_model(out, fitted, graph, document)
        document["out"] = str(out)
    print_document(document, f"{model} fitted", as_json=as_json)


def evaluate(
    model: Annotated[str, typer.Argument(help="A model, or hybrid: the service's own blend.")],
    train_file: Annotated[Path, typer.Option("--train", help="Interactions to learn from.")],
    test_file: Annotated[Path, typer.Option("--test", help="Interactions to find.")],
    side: Annotated[
        str | None,
        typer.Option(help="Folder or data set whose follows and categories count too."),
    ] = None,
    recommendations: Annotated[
        Path | None, typer.Option(help="Also write the 50 best items of each user (.csv).")
    ] = None,
    seed: Seed = 0,
    device: Device = None,
    assignments: Assignments = None,
    as_json: AsJson = False,
) -> None:
    """Fit on one table, rank all items without those of that table, measure on another."""
    from recsvc.trial import TrialOptions, recommendations_table, run_trial

    started = time.perf_counter()
    settings = load_settings()
    options = TrialOptions(
        train_file, test_file, side, seed, device_of(device), tuple(assignments or ())
    )
    with epoch_bar(model) as bar:
        trial = run_trial(
            model, options, settings.events, home=settings.home, progress=bar, say=console.say
        )
    if recommendations is not None:
        recommendations_table(trial).write_csv(recommendations)
    found = trial.evaluation
    if as_json:
        console.print_json(
            {
                "model": model,
                "users": len(found.user_index),
                "metrics": {n: dataclasses.asdict(e) for n, e in found.estimates.items()},
                "coverage": {str(k): v for k, v in found.coverage.items()},
                "total_seconds": time.perf_counter() - started,
                **trial.details,
            }
        )
        return
    rows = [
        (name, f"{e.mean:.4f}", f"{e.low:.4f} to {e.high:.4f}")
        for name, e in found.estimates.items()
    ]
    rows += [(f"coverage@{k}", f"{share:.4f}", "") for k, share in found.coverage.items()]
    title = f"{model}: {len(found.user_index):,} users"
    console.print_table(title, ("metric", "mean", "95% interval"), rows)


def refresh(
    model: Annotated[
        list[str] | None, typer.Option(help="Embedding models to blend; repeat for several.")
    ] = None,
    force: Annotated[
        bool, typer.Option(help="Take over from a refresh that seems to be running.")
    ] = False,
    seed: Seed = 0,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Fit, evaluate, write back and activate new versions of the models and the blend."""
    from recsvc.refresh import RefreshOptions
    from recsvc.refresh import refresh as run_refresh

    settings = load_settings()
    values: dict[str, Any] = {"seed": seed, "device": device_of(device)}
    options = RefreshOptions(**values, models=tuple(model)) if model else RefreshOptions(**values)
    with open_gateway(settings) as gateway, console.progress_bars() as bars:
        report = run_refresh(gateway, options, settings.events, force=force, progress=bars)
    if as_json:
        console.print_json(dataclasses.asdict(report))
        return
    console.print_mapping("active versions", dict(report.versions))
    rows = [
        (name, report.weights.get(name, ""), *(found[m].mean for m in ("recall@20", "ndcg@20")))
        for name, found in report.metrics.items()
    ]
    columns = ("signal", "weight", "recall@20", "ndcg@20")
    console.print_table("on the validation users", columns, rows)
    console.print_mapping("seconds", {n: round(s, 1) for n, s in report.seconds.items()})


def versions(as_json: AsJson = False) -> None:
    """The versions of all models, newest first."""
    rows = with_store(load_settings(), lambda store: store.versions())
    if as_json:
        console.print_json({"versions": rows})
        return
    columns = ("model", "version", "status", "slot", "activated_at")
    table = [[row.get(column) or "" for column in columns] for row in rows]
    console.print_table("embedding versions", columns, table)
