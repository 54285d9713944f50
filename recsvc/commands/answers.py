"""Answers: on the terminal, into a file, over HTTP."""

import asyncio
import dataclasses
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from loaders.files import write_bytes
from recsvc.answer import Proof, SimilarAnswer, as_document, explanation_document
from recsvc.commands import console
from recsvc.commands._shared import (
    AsJson,
    Count,
    EngineOption,
    file_to_write,
    listed_users,
    lists_by,
    print_document,
    training_graph,
)
from recsvc.commands.connecting import (
    with_engine,
)
from recsvc.errors import ProofError
from recsvc.recommend.engine import Engine
from recsvc.recommend.home import home_document
from recsvc.recommend.item_recourse import ItemRecourse, item_recourse_document
from recsvc.recommend.proof import MOST_PROOF_BYTES, Verified, told_answer
from recsvc.recommend.query import RecommendationQuery
from recsvc.recommend.recourse import Recourse, recourse_document
from recsvc.service.answer_cache import answer_json
from recsvc.settings import load_settings

if TYPE_CHECKING:
    from loaders.types import HeteroGraph
    from recsvc.snapshot.arrays import Snapshot


_FILE_ITEMS = 20
_MOST_TOLD = 20


ScenarioOption = Annotated[str | None, typer.Option(help="A stored scenario.")]


def recommend(
    user: str,
    k: Annotated[int | None, typer.Option("-k", min=1, max=500, help="How many; 10.")] = None,
    scenario: ScenarioOption = None,
    as_json: AsJson = False,
    proof: Annotated[
        Path | None,
        typer.Option(
            help="File for the answer in full as JSON, which `recsvc verify` makes again.",
            callback=file_to_write(".json"),
        ),
    ] = None,
) -> None:
    """The best items for a user, and why."""
    query = RecommendationQuery(scenario=scenario)
    if proof is not None:
        query = dataclasses.replace(query, explain="full", proof=True)
    if k is not None:
        query = dataclasses.replace(query, k=k, stated=frozenset({"k"}))
    answer = with_engine(load_settings(), lambda engine: engine.recommend(user, query))
    if proof is not None:
        write_bytes(proof, answer_json(answer))
    if as_json:
        console.print_json(as_document(answer))
    else:
        console.print_answer(answer)


def item_recourse(
    item: str,
    users: Annotated[int, typer.Option(min=1, max=50, help="How many users are looked at.")] = 20,
    k: Count = 10,
    event: Annotated[str, typer.Option(help="The kind of event that is added.")] = "interaction",
    as_json: AsJson = False,
) -> None:
    """What many users would have to do for an item to come into their lists."""
    sums = with_engine(
        load_settings(), lambda engine: engine.nodes.item_recourse(item, users, k, event)
    )
    if as_json:
        console.print_json(item_recourse_document(sums))
    else:
        console.print_line(_item_recourse_text(sums))


def _item_recourse_text(sums: ItemRecourse) -> str:
    lines = [f"{sums.users} users were looked at; {sums.listed} have it among their {sums.k}"]
    lines += [f"{number} would with {size} more" for size, number in sums.sizes.items()]
    lines += [f"{sums.not_found} would with nothing that was found"] * (sums.not_found > 0)
    lines += [f"{sums.never} cannot get it"] * (sums.never > 0)
    lines += [f"  {node.title or node.id} is in {number} of these" for node, number in sums.items]
    return "\n".join(lines)


def verify(
    answer: Annotated[
        Path, typer.Argument(help="File of an answer with a proof; - for standard input.")
    ],
    as_json: AsJson = False,
) -> None:
    """Make an answer again, scores and order, from the stored arrays that its proof names."""
    with sys.stdin.buffer if str(answer) == "-" else answer.open("rb") as file:
        told = told_answer(file.read(MOST_PROOF_BYTES + 1))
    result = with_engine(load_settings(), lambda engine: engine.verify(told.proof, told.items))
    if as_json:
        console.print_json(dataclasses.asdict(result))
    elif not result.wrong:
        console.print_line(_verified_text(told.proof, result))
    if result.wrong:
        raise ProofError(
            f"{len(result.wrong)} do not hold:\n" + "\n".join(result.wrong[:_MOST_TOLD])
        )


def _verified_text(proof: Proof, result: Verified) -> str:
    same = "to the last bit"
    if result.off:
        same = f"up to {result.off:.1g} of their size, as another kind of processor rounds"
    lines = [
        f"{result.numbers} numbers of {result.items} items are what version {proof.version} gives, "
        f"{same}"
    ]
    if result.ranked is None:
        lines.append("taken as stated: the order, and that no other item belongs into the list")
    else:
        left_out = len(proof.order.left_out) if proof.order else 0
        lines.append(
            f"ranked again among {result.ranked} items of the version, the list is the same; left "
            f"out as the proof says: {left_out}"
        )
    if result.weights:
        lines.append(f"chosen by the request, not by the version: λ of {', '.join(result.weights)}")
    if result.after:
        lines.append(f"taken as stated, added after the blend: {', '.join(result.after)}")
    return "\n".join(lines)


def home(user: str, as_json: AsJson = False) -> None:
    """Several titled rows for a user, no item twice."""
    started = time.perf_counter()
    rows_of_home = with_engine(load_settings(), lambda engine: engine.home(user))
    if as_json:
        console.print_json(
            home_document(rows_of_home, round((time.perf_counter() - started) * 1000, 3))
        )
    else:
        console.print_home(rows_of_home)


def explain(
    user: str,
    item: str,
    picture: Annotated[
        Path | None,
        typer.Option(
            help="File to draw it into: .svg or .png.", callback=file_to_write(".svg", ".png")
        ),
    ] = None,
    scenario: ScenarioOption = None,
    as_json: AsJson = False,
) -> None:
    """Why a user is, or would be, recommended an item."""
    answer = with_engine(load_settings(), lambda engine: engine.explain(user, item, scenario))
    if picture is not None:
        from recsvc.explain.picture import write_picture

        write_picture(answer, picture)
    if as_json:
        console.print_json(explanation_document(answer))
        return
    console.print_answer(answer)
    console.print_contributions(answer)


def recourse(
    user: str,
    item: str,
    k: Count = 10,
    event: Annotated[str, typer.Option(help="The kind of event that is added.")] = "interaction",
    as_json: AsJson = False,
) -> None:
    """The least that a user would have to do for an item to come into their list."""
    answer = with_engine(
        load_settings(), lambda engine: engine.nodes.recourse(user, item, k, event)
    )
    if as_json:
        console.print_json({"user_id": user, "item_id": item, **recourse_document(answer)})
    else:
        console.say(_recourse_text(item, answer))


def _recourse_text(item: str, recourse: Recourse) -> str:
    sure = "" if recourse.certain else ", as far as was looked"
    if recourse.reason is not None:
        return f"nothing brings {item} into the list: {recourse.reason}"
    if recourse.rank is not None:
        return f"{item} is in the list, at place {recourse.rank}"
    if recourse.added is None:
        return f"neither one item nor two bring {item} into the list{sure}"
    named = " and ".join(f"{item.title} [{item.id}]" if item.title else str(item.id)
                         for item in recourse.added)  # fmt: skip
    return f"{recourse.event} with {named} brings {item} to place {recourse.rank_then}{sure}"


def similar(
    item: str,
    k: Count = 10,
    model: Annotated[str | None, typer.Option(help="Which embedding model.")] = None,
    as_json: AsJson = False,
) -> None:
    """The items nearest to an item."""
    answer: SimilarAnswer = with_engine(
        load_settings(), lambda engine: engine.nodes.similar_items(item, k, model)
    )
    if as_json:
        console.print_json(as_document(answer))
    else:
        console.print_similar(answer)


def batch_recommend(
    out: Annotated[
        Path,
        typer.Option(
            help="File to write: .parquet or .jsonl.", callback=file_to_write(".parquet", ".jsonl")
        ),
    ],
    k: Annotated[
        int | None,
        typer.Option("-k", min=1, max=500, help="How many; what the scenario says, or 20."),
    ] = None,
    users: Annotated[
        Path | None, typer.Option(help="File with one user id per line; all users without it.")
    ] = None,
    scenario: ScenarioOption = None,
    engine: EngineOption = None,
    as_json: AsJson = False,
) -> None:
    """The best items of many users, into one file."""
    from recsvc.recommend.batch_file import write_answers, write_recommendations

    settings = load_settings()
    listed = None if users is None else listed_users(settings, users)

    if scenario is not None and engine is not None:
        raise typer.BadParameter("--engine makes lists without a scenario: leave out one of them")
    if scenario is not None:
        ids = list(training_graph(settings, None).users) if listed is None else listed
        query = RecommendationQuery(
            k=k or _FILE_ITEMS, explain="none", scenario=scenario, in_experiments=False,
            stated=frozenset({"k"} if k else ()),
        )  # fmt: skip
        with console.progress_bars() as bars:
            report = with_engine(
                settings, lambda engine: write_answers(out, engine, query, ids, bars)
            )
        print_document(dataclasses.asdict(report) | {"out": str(out)}, "written", as_json=as_json)
        return

    async def loaded(engine: Engine) -> "tuple[HeteroGraph, Snapshot, list[str]]":
        _ = engine.snapshot  # it ends here where there is none
        graph = await asyncio.to_thread(training_graph, settings, None)
        return graph, *await engine.snapshot_now(graph.items)

    graph, snapshot, newcomers = with_engine(settings, loaded)
    with console.progress_bars() as bars, lists_by(engine, settings, out.parent) as make:
        report = write_recommendations(
            out, graph, snapshot, newcomers, settings.events, k or _FILE_ITEMS, listed, bars, make
        )
    print_document(dataclasses.asdict(report) | {"out": str(out)}, "written", as_json=as_json)
