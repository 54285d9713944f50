"""The commands, in the order in which data goes through the system.

db up → ingest → extract → train, evaluate → refresh → recommend, explain, similar → serve
"""

import asyncio
import dataclasses
import logging
import sys
import time
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

import orjson
import structlog
import typer

from loaders.errors import LoaderError
from loaders.gateway import Neo4jAddress, Neo4jGateway
from loaders.local_neo4j import LocalNeo4j, LocalNeo4jOptions
from recsvc import _console as console
from recsvc.answer import SimilarAnswer, as_document, explanation_document
from recsvc.engine import Engine, RecommendationQuery
from recsvc.errors import RecsvcError
from recsvc.settings import Settings, load_settings
from recsvc.store import Store

_T = TypeVar("_T")
_HOST = "127.0.0.1"
_PATIENCE_SECONDS = 30.0
"""Deadline of a read for somebody at a terminal: a Neo4j just started takes seconds to warm up."""

app = typer.Typer(
    name="recsvc",
    help="Recommendations from a Neo4j graph, each with an exact explanation.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
db = typer.Typer(help="The Neo4j on this machine.", no_args_is_help=True)
app.add_typer(db, name="db")

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Count = Annotated[int, typer.Option("-k", min=1, max=500, help="How many.")]
Seed = Annotated[int, typer.Option(min=0, help="Decides splits, training and walks.")]
Device = Annotated[str | None, typer.Option(help="cpu or cuda; a GPU is used where there is one.")]
Assignments = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="An option of the model.")
]


def main() -> None:
    """Run a command. Exit code 1 and one line on stderr for a failure, 2 for wrong usage."""
    try:
        app()
    except (LoaderError, RecsvcError) as error:
        sys.stderr.write(f"recsvc: {' '.join(str(error).splitlines()) or type(error).__name__}\n")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.stderr.write("recsvc: interrupted\n")
        sys.exit(1)


@app.callback()
def prepare() -> None:
    """Recommendations from a Neo4j graph, each with an exact explanation."""
    # The driver reports a retried dead-lock as a warning; the retry is what was meant to happen.
    logging.getLogger("neo4j").setLevel(logging.ERROR)
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


@db.command("up")
def db_up(as_json: AsJson = False) -> None:
    """Start it; harmless when it already runs."""
    local = LocalNeo4j(_local_options(load_settings()))
    local.up(console.say)
    _print_status(local, as_json)


@db.command("down")
def db_down(as_json: AsJson = False) -> None:
    """Stop it."""
    stopped = LocalNeo4j(_local_options(load_settings())).down()
    if as_json:
        console.print_json({"stopped": stopped})
    else:
        console.say("stopped" if stopped else "it was not running")


@db.command("status")
def db_status(as_json: AsJson = False) -> None:
    """Whether it runs, where, and where its password is kept."""
    _print_status(LocalNeo4j(_local_options(load_settings())), as_json)


@app.command()
def ingest(
    source: Annotated[str, typer.Argument(help="A folder of tables, or a data set: lastfm.")],
    files: Annotated[
        Path | None, typer.Option("--from", help="Folder with a named data set's own files.")
    ] = None,
    strict: Annotated[bool, typer.Option(help="Load nothing if any row is bad.")] = False,
    as_json: AsJson = False,
) -> None:
    """Merge tables into the graph; the same tables again change nothing."""
    from loaders.datasets import open_source
    from loaders.ingest import ingest as ingest_tables

    settings = load_settings()
    rejects = settings.home / "rejects" / f"{Path(source).name}.csv"
    rejects.parent.mkdir(parents=True, exist_ok=True)
    with _gateway(settings) as gateway, console.progress_bars() as bars:
        report = ingest_tables(
            gateway, open_source(source, files), rejects=rejects, strict=strict, progress=bars
        )
    for warning in report.warnings:
        console.say(warning)
    if as_json:
        tables = {name: dataclasses.asdict(table) for name, table in report.tables.items()}
        console.print_json(
            {
                "tables": tables,
                "rejected": report.rejected,
                "rejects": str(report.rejects) if report.rejects else None,
                "warnings": list(report.warnings),
                "seconds": report.seconds,
            }
        )
        return
    rows = [
        (name, table.read, table.rejected, table.written, table.rows_per_second)
        for name, table in report.tables.items()
    ]
    columns = ("table", "read", "rejected", "written", "rows/s")
    console.print_table(f"ingested in {report.seconds:.1f} s", columns, rows)
    if report.rejects:
        console.say(f"rejected rows and why: {report.rejects}")


@app.command()
def extract(
    out: Annotated[Path, typer.Option(help="Folder for the arrays and id tables.")],
    as_json: AsJson = False,
) -> None:
    """Read the training graph out as arrays."""
    from loaders.extract import extract_to_folder

    with _gateway(load_settings()) as gateway, console.progress_bars() as bars:
        saved = extract_to_folder(gateway, out, bars)
    document = {
        "folder": str(saved.folder),
        "nodes": dict(saved.nodes),
        "relationships": dict(saved.relationships),
        "seconds": saved.seconds,
        "relationships_per_second": saved.relationships_per_second,
    }
    _print(document, f"extracted to {saved.folder}", as_json=as_json)


@app.command()
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
    graph = _training_graph(settings, data)
    times = graph.interactions.last_at
    newest = float(times[times == times].max(initial=0.0))
    training = TrainingData(graph, evidence_matrix(graph, settings.events, now=newest))
    console.say(
        f"{len(graph.users):,} users, {len(graph.items):,} items; the arrays of {model} take "
        f"about {MODELS[model].memory_bytes(training, options) / 2**20:,.0f} MiB"
    )
    with _epoch_bar(model) as bar:
        fitted, report, tried = fit_validated(
            model, training, options, seed=seed, device=_device(device), progress=bar
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
    _print(document, f"{model} fitted", as_json=as_json)


@app.command()
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
        train_file, test_file, side, seed, _device(device), tuple(assignments or ())
    )
    with _epoch_bar(model) as bar:
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


@app.command()
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
    values: dict[str, Any] = {"seed": seed, "device": _device(device)}
    options = RefreshOptions(**values, models=tuple(model)) if model else RefreshOptions(**values)
    with _gateway(settings) as gateway, console.progress_bars() as bars:
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


@app.command()
def versions(as_json: AsJson = False) -> None:
    """The versions of all models, newest first."""
    rows = _with_store(lambda store: store.versions())
    if as_json:
        console.print_json({"versions": rows})
        return
    columns = ("model", "version", "status", "slot", "activated_at")
    table = [[row.get(column) or "" for column in columns] for row in rows]
    console.print_table("embedding versions", columns, table)


@app.command()
def recommend(user: str, k: Count = 10, as_json: AsJson = False) -> None:
    """The best items for a user, and why."""
    answer = _with_engine(lambda engine: engine.recommend(user, RecommendationQuery(k=k)))
    if as_json:
        console.print_json(as_document(answer))
    else:
        console.print_answer(answer)


@app.command()
def explain(user: str, item: str, as_json: AsJson = False) -> None:
    """Why a user is, or would be, recommended an item."""
    answer = _with_engine(lambda engine: engine.explain(user, item))
    if as_json:
        console.print_json(explanation_document(answer))
        return
    console.print_answer(answer)
    console.print_contributions(answer)


@app.command()
def similar(
    item: str,
    k: Count = 10,
    model: Annotated[str | None, typer.Option(help="Which embedding model.")] = None,
    as_json: AsJson = False,
) -> None:
    """The items nearest to an item."""
    answer: SimilarAnswer = _with_engine(lambda engine: engine.similar_items(item, k, model))
    if as_json:
        console.print_json(as_document(answer))
    else:
        console.print_similar(answer)


@app.command("batch-recommend")
def batch_recommend(
    out: Annotated[Path, typer.Option(help="File to write: .parquet or .jsonl.")],
    k: Count = 20,
    users: Annotated[
        Path | None, typer.Option(help="File with one user id per line; all users without it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """The best items of many users, into one file."""
    from recsvc.batch_file import write_recommendations

    if out.suffix not in (".parquet", ".jsonl"):
        raise typer.BadParameter(f"{out} ends in neither .parquet nor .jsonl", param_hint="--out")
    settings = load_settings()
    snapshot = _with_engine(_loaded)
    graph = _training_graph(settings, None)
    with console.progress_bars() as bars:
        report = write_recommendations(out, graph, snapshot, settings.events, k, users, bars)
    _print(dataclasses.asdict(report) | {"out": str(out)}, "written", as_json=as_json)


@app.command()
def serve() -> None:
    """Answer over HTTP on loopback, until Ctrl-C."""
    import uvicorn

    from recsvc.service.app import create_app

    structlog.reset_defaults()
    settings = load_settings()
    application = create_app(_engine(settings, settings.request_timeout_seconds))
    uvicorn.run(
        application, host=_HOST, port=settings.port, log_level="warning", access_log=False,
        timeout_graceful_shutdown=5,
    )  # fmt: skip


def _local_options(settings: Settings) -> LocalNeo4jOptions:
    password = settings.neo4j_password
    return LocalNeo4jOptions(
        home=settings.home,
        bolt_port=settings.bolt_port,
        http_port=settings.http_port,
        user=settings.neo4j_user,
        password=password.get_secret_value() if password else None,
        heap_megabytes=settings.neo4j_heap_megabytes,
        page_cache_megabytes=settings.neo4j_page_cache_megabytes,
        start_timeout_seconds=settings.neo4j_start_timeout_seconds,
    )


def neo4j_address(settings: Settings) -> Neo4jAddress:
    """The Neo4j that the settings name, else the one on this machine, if it runs."""
    if settings.neo4j_uri is None:
        return LocalNeo4j(_local_options(settings)).address()
    password = settings.neo4j_password
    return Neo4jAddress(
        settings.neo4j_uri,
        settings.neo4j_user,
        password.get_secret_value() if password else "",
        settings.neo4j_database,
    )


@contextmanager
def _gateway(settings: Settings) -> Generator[Neo4jGateway]:
    with Neo4jGateway(neo4j_address(settings)) as gateway:
        yield gateway


def _store(settings: Settings, timeout_seconds: float = _PATIENCE_SECONDS) -> Store:
    return Store(neo4j_address(settings), timeout_seconds=timeout_seconds)


def _engine(settings: Settings, timeout_seconds: float = _PATIENCE_SECONDS) -> Engine:
    return Engine(
        _store(settings, timeout_seconds),
        snapshot_folder=settings.home / "snapshots",
        events=settings.events,
        max_evidence=settings.max_evidence,
    )


def _with_engine(work: Callable[[Engine], Coroutine[Any, Any, _T]]) -> _T:
    async def run() -> _T:
        engine = _engine(load_settings())
        await engine.start()
        try:
            return await work(engine)
        finally:
            await engine.stop()

    return asyncio.run(run())


def _with_store(work: Callable[[Store], Coroutine[Any, Any, _T]]) -> _T:
    async def run() -> _T:
        store = _store(load_settings())
        await store.open()
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(run())


async def _loaded(engine: Engine) -> Any:
    return engine.snapshot


def _training_graph(settings: Settings, data: str | None) -> Any:
    """The graph from Neo4j, or from tables where some are named."""
    if data is None:
        from loaders.extract import extract_graph

        with _gateway(settings) as gateway, console.progress_bars() as bars:
            return extract_graph(gateway, bars)
    from loaders.datasets import open_source
    from loaders.tables import Rejects, graph_from_tables

    rejects = settings.home / "rejects" / f"{Path(data).name}.csv"
    rejects.parent.mkdir(parents=True, exist_ok=True)
    with Rejects(rejects) as log:
        graph = graph_from_tables(open_source(data), log.add)
        if log.total:
            console.say(f"{log.total:,} rejected rows and why: {rejects}")
    return graph


def _device(name: str | None) -> str:
    """The device asked for, else a GPU where there is one."""
    if name is not None:
        return name
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


@contextmanager
def _epoch_bar(model: str) -> Generator[Callable[[Any], None]]:
    with console.progress_bars() as bars:
        yield lambda record: bars(f"{model} epochs", record.epoch, None)


def _print_status(local: LocalNeo4j, as_json: bool) -> None:
    status = dataclasses.asdict(local.status())
    status["home"], status["password_file"] = str(status["home"]), str(status["password_file"])
    if not as_json:
        status["pid"] = str(status["pid"] or "")  # a number would be printed with commas
    _print(status, "Neo4j on this machine", as_json=as_json)


def _print(document: dict[str, Any], title: str, *, as_json: bool) -> None:
    if as_json:
        console.print_json(document)
        return
    flat = {
        name: orjson.dumps(value).decode() if isinstance(value, dict) else value
        for name, value in document.items()
    }
    console.print_mapping(title, flat)
