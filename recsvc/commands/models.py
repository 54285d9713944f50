"""Models: fitted, measured, tuned, refreshed."""

import dataclasses
import shlex
import time
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from recsvc.commands import console
from recsvc.commands._shared import (
    AsJson,
    Assignments,
    Device,
    Seed,
    SeedOrSetting,
    describing_for,
    device_of,
    epoch_bars,
    file_to_write,
    print_document,
    say_unknown_kinds,
    training_graph,
)
from recsvc.commands.connecting import open_gateway, outcome_log, prune_old
from recsvc.event_kinds import unknown_kinds
from recsvc.json_log import logs_json
from recsvc.settings import SETTINGS_FILE, load_settings
from recsvc.settings_file import model_table, write_model_options
from recsvc.tracing import traced

if TYPE_CHECKING:
    from recsvc.refresh.log_comparison import LogComparison
    from recsvc.refresh.run_manifest import RunManifest
    from recsvc.training.experiment import Ranked, TrialData, TrialOptions
    from recsvc.training.tuning import Tuning

TrainFile = Annotated[Path, typer.Option("--train", help="Interactions to learn from.")]
Side = Annotated[
    str | None, typer.Option(help="Folder or data set whose follows and categories count too.")
]
Trials = Annotated[int | None, typer.Option(min=1, help="How many options are tried.")]
HoldOut = Annotated[
    Literal["random", "latest"],
    typer.Option(help="Which of each user's items options are chosen on: some, or the latest."),
]


def train(
    model: Annotated[str, typer.Argument(help="A model, such as walk3 or lightgcn.")],
    data: Annotated[
        str | None, typer.Option(help="Folder of tables or data set, instead of the graph.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the arrays, the manifest and the page.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the unfinished run of --out.")
    ] = False,
    seed: Seed = 0,
    device: Device = None,
    assignments: Assignments = None,
    as_json: AsJson = False,
) -> None:
    """Fit one model: the best epoch on a validation split, then on everything.

    Ctrl-C keeps the best model so far.
    """
    from recsvc.refresh.options import model_values
    from recsvc.training.fit import assigned, known_model, model_options
    from recsvc.training.run import TrainingRun

    if resume and out is None:
        raise typer.BadParameter("--resume goes on with the run of --out: name the folder")
    settings = load_settings()
    given = assigned(known_model(model), assignments or [])
    values = model_values(settings, model, given)
    options = model_options(model, values)
    with describing_for(settings, {model: values}, device_of(device)) as describing:
        graph = training_graph(settings, data, options.property_names, describing)
    say_unknown_kinds(unknown_kinds(graph.interactions.events, settings.events))
    run = TrainingRun.of(model, options, graph, settings.events, seed, device_of(device))
    console.say(run.announcement())
    say_left_out([model])
    with epoch_bars(model) as watch:
        document = run.fit(watch, out, resume=resume)
    if settings.tracking.mlflow_uri is not None:
        from recsvc.training.mlflow import track

        document["mlflow_run"] = track(settings.tracking.mlflow_uri, run.manifest, run.histories)
    if document["interrupted"]:
        console.say(run.consolation(out))
    print_document(document, f"{model} fitted", as_json=as_json)


def evaluate(
    models: Annotated[list[str], typer.Argument(help="A model, or several to compare.")],
    train_file: TrainFile,
    test_file: Annotated[Path, typer.Option("--test", help="Interactions to find.")],
    side: Side = None,
    protocol: Annotated[
        Literal["validated", "published"],
        typer.Option(
            help="validated: tune on a part of train. published: the configuration shipped for "
            "this data set."
        ),
    ] = "validated",
    trials: Trials = None,
    hold_out: HoldOut = "random",
    recommendations: Annotated[
        Path | None,
        typer.Option(
            help="Also write the 50 best items of each user: .parquet, .csv, .jsonl or .json.",
            callback=file_to_write(".parquet", ".csv", ".jsonl", ".json"),
        ),
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option(
            help="Also write a page with tables and plots: .html.",
            callback=file_to_write(".html"),
        ),
    ] = None,
    as_served: Annotated[
        bool,
        typer.Option(
            "--as-served", help="hybrid only: refresh a Neo4j of its own, and rank as served."
        ),
    ] = False,
    seed: Seed = 0,
    device: Device = None,
    assignments: Assignments = None,
    as_json: AsJson = False,
) -> None:
    """Fit on one table, rank all items without those of that table, measure on another."""
    from recsvc.commands import evaluation
    from recsvc.refresh.options import model_values
    from recsvc.training.comparison import comparison_sections
    from recsvc.training.experiment import TrialOptions, properties_of, read_trial, write_rankings
    from recsvc.training.fit import assigned
    from recsvc.training.measure import measure

    _check_evaluate(models, recommendations, as_served=as_served)
    started = time.perf_counter()
    settings = load_settings()
    # The blend holds out by itself; what the user sets comes later and wins.
    blend = () if hold_out == "random" else (f"hybrid.hold_out={hold_out}",)
    given = (*blend, *(assignments or ()))
    options = TrialOptions(
        protocol, trials, seed, device_of(device), given, hold_out, settings=settings
    )
    wanted = properties_of(models, options)
    values = {name: model_values(settings, name, assigned(name, given)) for name in models}
    with describing_for(settings, values, options.device) as describing:
        data = read_trial(train_file, test_file, side, settings.events, wanted, describing)
    say_unknown_kinds(data.unknown_kinds)
    ranked = _ranked(models, data, options, as_served=as_served)
    if recommendations is not None:
        write_rankings(ranked[0], data.graph, recommendations)
    measured = measure(ranked, data)
    sections = comparison_sections(ranked, measured, evaluation.tested(data.counts))
    if page is not None:
        from recsvc.report.page import write_sections

        write_sections(f"Evaluation of {', '.join(models)}", sections, page)
    if as_json:
        document = evaluation.document(ranked, measured) | {
            "test": dataclasses.asdict(data.counts),
            "unknown_kinds": data.unknown_kinds,
            "total_seconds": time.perf_counter() - started,
        }
        console.print_json(document)
    elif len(models) > 1:
        console.print_sections(sections)
    else:
        evaluation.print_measured(models[0], measured)
        console.say(evaluation.tested(data.counts))


def tune(
    model: Annotated[str, typer.Argument(help="A model with options to search.")],
    train_file: TrainFile,
    side: Side = None,
    trials: Annotated[
        int, typer.Option(min=1, help="How many options are tried, earlier calls included.")
    ] = 20,
    study: Annotated[
        Path | None,
        typer.Option(
            help="File of the trials (.log); a second call goes on with it.",
            callback=file_to_write(".log"),
        ),
    ] = None,
    timeout_seconds: Annotated[
        float | None, typer.Option(min=1.0, help="No trial begins later than this.")
    ] = None,
    sampler: Annotated[
        Literal["random", "tpe"], typer.Option(help="How options are drawn.")
    ] = "tpe",
    hold_out: HoldOut = "random",
    seed: Seed = 0,
    device: Device = None,
    assignments: Assignments = None,
    write: Annotated[
        bool, typer.Option("--write", help=f"Put the best options into {SETTINGS_FILE}.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Search a model's options by NDCG@20 on a validation split of train."""
    from recsvc.models import FitRun
    from recsvc.refresh.options import model_values
    from recsvc.training.experiment import read_training_data
    from recsvc.training.fit import assigned, known_model, model_options, validation_split
    from recsvc.training.tuning import TuneOptions
    from recsvc.training.tuning import tune as search

    settings = load_settings()
    fixed = assigned(known_model(model), assignments or [])
    wanted = model_options(model, fixed).property_names
    values = model_values(settings, model, fixed)
    with describing_for(settings, {model: values}, device_of(device)) as describing:
        data = read_training_data(train_file, side, settings.events, wanted, describing)
    say_unknown_kinds(unknown_kinds(data.graph.interactions.events, settings.events))
    say_left_out([model])
    split = validation_split(data, seed, hold_out)
    how = TuneOptions(trials, timeout_seconds, sampler, study)
    with epoch_bars(model) as watch:
        tuning = search(model, split, fixed, how, FitRun(seed, device=device_of(device)), watch)
    best = {**fixed, **tuning.best.values}
    arguments = shlex.join(part for name, v in best.items() for part in ("--set", f"{name}={v}"))
    resolved = tuning.options.model_dump(mode="json")
    table = {name: resolved[name] for name in best}
    if tuning.interrupted:
        console.say("interrupted: the best of the trials so far")
    if write and table:
        write_model_options(model, table)
        console.say(f"[models.{model}] is in {SETTINGS_FILE}")
    if as_json:
        document = dataclasses.asdict(tuning) | {"options": resolved}
        console.print_json({"model": model, "arguments": arguments, **document})
        return
    _print_trials(model, tuning)
    console.print_line(arguments or "the defaults: nothing to search")
    if table:
        console.print_line(model_table(model, table))


def _print_trials(model: str, tuning: "Tuning") -> None:
    rows = [
        (t.number, t.ndcg if t.ndcg is not None else f"failed: {t.error}", t.epochs or "",
         round(t.seconds, 1), " ".join(f"{name}={_short(v)}" for name, v in t.values.items()))
        for t in tuning.trials
    ]  # fmt: skip
    columns = ("trial", "NDCG@20", "epochs", "seconds", "options")
    console.print_table(f"{model}: {len(rows)} trials", columns, rows)
    console.say(f"best: trial {tuning.best.number}")


def say_left_out(models: Collection[str]) -> None:
    """Say which meta-paths the blend lacks without Neo4j."""
    from recsvc.signals.metapath import undeclared_metapaths

    if "hybrid" in models and (paths := undeclared_metapaths()):
        console.say(f"left out of hybrid, as only Neo4j can compute them: {', '.join(paths)}")


def _check_evaluate(models: list[str], recommendations: Path | None, *, as_served: bool) -> None:
    """Refuse what does not go together, before anything is read.

    Raises:
        BadParameter: wrong usage.
        SettingsError: there is no such model.
    """
    from recsvc.training.fit import known_model

    if len(set(models)) < len(models):
        raise typer.BadParameter(f"{' '.join(models)}: expected one model, or different ones")
    if recommendations is not None and len(models) > 1:
        raise typer.BadParameter("--recommendations writes the lists of one model: name one")
    if as_served and models != ["hybrid"]:
        raise typer.BadParameter("--as-served is for the model hybrid alone")
    for model in models:
        known_model(model)


def _ranked(
    models: list[str], data: "TrialData", options: "TrialOptions", *, as_served: bool
) -> "list[Ranked]":
    """The items of each test user by each model, with what is left out said before."""
    if as_served:
        from recsvc.training.served_experiment import rank_as_served

        settings = options.settings
        return [rank_as_served(data, options, settings.events, home=settings.home, say=console.say)]
    say_left_out(models)
    return [_rank(model, data, options) for model in models]


def _rank(model: str, data: "TrialData", options: "TrialOptions") -> "Ranked":
    from recsvc.training.experiment import rank_fitted

    with epoch_bars(model) as watch:
        return rank_fitted(model, data, options, watch)


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def refresh(
    model: Annotated[
        list[str] | None, typer.Option(help="Embedding models to blend; repeat for several.")
    ] = None,
    force: Annotated[
        bool,
        typer.Option(
            help="Take over from a refresh that seems to be running, and activate also what the "
            "gate objects to."
        ),
    ] = False,
    from_scratch: Annotated[
        bool,
        typer.Option(
            "--from-scratch", help="Learn anew, also where it could go on from the active version."
        ),
    ] = False,
    seed: SeedOrSetting = None,
    device: Device = None,
    name: Annotated[str | None, typer.Option("--run", hidden=True)] = None,
    as_json: AsJson = False,
) -> None:
    """Fit, evaluate, write back and activate new versions of the models and the blend."""
    from recsvc.refresh.options import refresh_options
    from recsvc.refresh.pipeline import refresh as run_refresh
    from recsvc.refresh.run_journal import new_name

    settings = load_settings()
    given: dict[str, Any] = {"device": device_of(device or settings.refresh.get("device"))}
    given |= {"models": tuple(model)} if model else {}
    given |= {"seed": seed} if seed is not None else {}
    options = refresh_options(settings, given)
    name = name or new_name()
    try:
        with (
            traced("refresh", settings.otlp_endpoint),
            open_gateway(settings) as gateway,
            console.progress_bars() as bars,
        ):
            prune_old(gateway, settings)
            run = run_refresh(
                gateway, options, settings.events, home=settings.home,
                lease_seconds=settings.refresh_lease_seconds, force=force,
                from_scratch=from_scratch, name=name, log=outcome_log(gateway, settings),
                progress=bars,
            )  # fmt: skip
    finally:
        _say_page(settings.home, name)
    if as_json:
        told = {"seconds": run.seconds, "page": f"/v1/refreshes/{run.run}/report"}
        console.print_json({**run.model_dump(mode="json"), **told})
    else:
        _print_run(run)


def _print_run(run: "RunManifest") -> None:
    console.say(run.start or "")
    console.print_mapping("active versions", run.versions or {})
    _print_measured(run)
    _print_compared(run)
    for warning in run.warnings or ():
        console.say(f"warning: {warning}")
    for objection in run.overridden or ():
        console.say(f"activated by force: {objection}")
    say_unknown_kinds(run.unknown_kinds or ())
    console.print_mapping("seconds", {n: round(s, 1) for n, s in run.seconds.items()})


def _print_measured(run: "RunManifest") -> None:
    weights = run.weights or {}
    if run.unlearned:
        console.say(f"the weights are the usual ones, as they cannot be learned: {run.unlearned}")
    rows = [
        (name, weights.get(name, ""), *(estimates[m].mean for m in ("recall@20", "ndcg@20")))
        for name, estimates in (run.metrics or {}).items()
    ]
    columns = ("signal", "weight", "recall@20", "ndcg@20")
    console.print_table("on the validation users", columns, rows)


def _print_compared(run: "RunManifest") -> None:
    if run.change is not None:
        interval = f"{run.change.mean:+.4f} ({run.change.low:+.4f} to {run.change.high:+.4f})"
        console.print_mapping(
            "against the version before", {"ndcg@20": interval, "compared": run.compared}
        )
    else:
        console.say(f"not compared with another version: {run.compared}")
    for comparison in run.by_log or ():
        console.print_mapping(
            f"on the log of the scenario {comparison.scenario}", _on_log(comparison)
        )
    if run.by_log_error:
        console.say(f"not compared on the log: {run.by_log_error}")


def _say_page(home: Path, name: str) -> None:
    """Say how to ask for the page of a run, if it has ended."""
    from recsvc.refresh.run_journal import read_manifest, run_of

    manifest = read_manifest(home, run_of(home, name) or "")
    if manifest is not None and manifest.state != "unfinished" and not logs_json():
        asked = f"recsvc report --refresh {manifest.run} --out FILE.html"
        console.say(f"the page of this run: {asked}")


def _on_log(comparison: "LogComparison") -> dict[str, str]:
    """What a new version and the active one would have earned, in words."""
    estimated = {
        "new version": comparison.new.self_normalized,
        "active": comparison.active.self_normalized,
    }
    estimated |= {
        "difference": comparison.difference,
        "difference by DR": comparison.robust_difference,
    }
    told = {n: f"{v.mean:.4f} ({v.low:.4f} to {v.high:.4f})" for n, v in estimated.items()}
    return {**told, "judged": f"no: {comparison.undecided}" if comparison.undecided else "yes"}
