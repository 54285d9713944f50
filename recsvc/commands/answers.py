"""Answers: on the terminal, into a file, over HTTP."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import structlog
import typer

from recsvc import _console as console
from recsvc.answer import SimilarAnswer, as_document, explanation_document
from recsvc.commands._shared import AsJson, Count, print_document, training_graph
from recsvc.connect import make_engine, with_engine
from recsvc.engine import Engine, RecommendationQuery
from recsvc.settings import load_settings

_HOST = "127.0.0.1"


def recommend(user: str, k: Count = 10, as_json: AsJson = False) -> None:
    """The best items for a user, and why."""
    answer = with_engine(
        load_settings(), lambda engine: engine.recommend(user, RecommendationQuery(k=k))
    )
    if as_json:
        console.print_json(as_document(answer))
    else:
        console.print_answer(answer)


def explain(user: str, item: str, as_json: AsJson = False) -> None:
    """Why a user is, or would be, recommended an item."""
    answer = with_engine(load_settings(), lambda engine: engine.explain(user, item))
    if as_json:
        console.print_json(explanation_document(answer))
        return
    console.print_answer(answer)
    console.print_contributions(answer)


def similar(
    item: str,
    k: Count = 10,
    model: Annotated[str | None, typer.Option(help="Which embedding model.")] = None,
    as_json: AsJson = False,
) -> None:
    """The items nearest to an item."""
    answer: SimilarAnswer = with_engine(
        load_settings(), lambda engine: engine.similar_items(item, k, model)
    )
    if as_json:
        console.print_json(as_document(answer))
    else:
        console.print_similar(answer)


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
    snapshot = with_engine(settings, _loaded)
    graph = training_graph(settings, None)
    with console.progress_bars() as bars:
        report = write_recommendations(out, graph, snapshot, settings.events, k, users, bars)
    print_document(dataclasses.asdict(report) | {"out": str(out)}, "written", as_json=as_json)


def serve() -> None:
    """Answer over HTTP on loopback, until Ctrl-C."""
    import uvicorn

    from recsvc.service.app import create_app

    structlog.reset_defaults()
    settings = load_settings()
    application = create_app(make_engine(settings, settings.request_timeout_seconds))
    uvicorn.run(
        application, host=_HOST, port=settings.port, log_level="warning", access_log=False,
        timeout_graceful_shutdown=5,
    )  # fmt: skip


async def _loaded(engine: Engine) -> Any:
    return engine.snapshot
