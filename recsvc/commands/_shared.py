"""What commands share: options, and how they say what came out."""

import re
import signal
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, Literal

import orjson
import typer

from loaders.errors import TableError
from loaders.limits import MAX_DOCUMENT_NAME
from loaders.types import NO_PROPERTIES, PropertyNames
from recsvc.commands import console
from recsvc.commands.connecting import open_gateway
from recsvc.errors import NotFoundError
from recsvc.graph.store import unknown_users
from recsvc.settings import Settings
from recsvc.settings_file import unknown_kind_lines

if TYPE_CHECKING:
    from recsvc.recommend.batch import UserList

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
SeenRevision = Annotated[
    int | None,
    typer.Option(min=0, help="The one you looked at, 0 for none: fail where another is there."),
]
Count = Annotated[int, typer.Option("-k", min=1, max=500, help="How many.")]
_SEED = typer.Option(min=0, max=2**32 - 1, help="Decides splits, training and walks.")
EngineOption = Annotated[
    Literal["spark"] | None,
    typer.Option("--engine", help="What does the work where one machine is not enough."),
]
Seed = Annotated[int, _SEED]
SeedOrSetting = Annotated[int | None, _SEED]
Device = Annotated[str | None, typer.Option(help="cpu or cuda; a GPU is used where there is one.")]
Assignments = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="An option of the model.")
]


def file_to_write(*suffixes: str) -> Callable[[Path | None], Path | None]:
    """A check before any work: the suffix says the form, and the folder is there."""

    def checked(file: Path | None) -> Path | None:
        if file is not None and file.suffix not in suffixes:
            raise typer.BadParameter(
                f"{file}: expected a name that ends in {' or '.join(suffixes)}"
            )
        if file is not None and not file.absolute().parent.is_dir():
            raise typer.BadParameter(f"{file} is in no folder that is there")
        return file

    return checked


def short_name(name: str) -> str:
    """The name of a scenario or experiment, which each `recommendation_id` has.

    Raises:
        typer.BadParameter: it is empty, or longer than the service takes.
    """
    if not 1 <= len(name) <= MAX_DOCUMENT_NAME:
        raise typer.BadParameter(
            f"expected a name of 1 to {MAX_DOCUMENT_NAME} characters, got {len(name)}"
        )
    return name


def new_name(name: str) -> str:
    """The same of one that is to be stored.

    Raises:
        typer.BadParameter: it is of blanks only, or `short_name` refuses it.
    """
    if not name.strip():
        raise typer.BadParameter(f"expected a name that is not of blanks only, got {name!r}")
    return short_name(name)


def end_as_by_ctrl_c() -> None:
    """Have SIGTERM and SIGHUP end a command as Ctrl-C does: what it was to put right, it does.

    One that is ignored, as by `nohup`, stays so. While the command ends, further ones do nothing.
    """
    numbers = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) == signal.SIG_DFL]

    def end(_number: int, _frame: FrameType | None) -> None:
        for number in numbers:
            # Not SIG_IGN: what is started meanwhile, such as Neo4j, would inherit that.
            signal.signal(number, lambda _number, _frame: None)
        raise KeyboardInterrupt

    for number in numbers:
        signal.signal(number, end)


def print_document(document: dict[str, Any], title: str, *, as_json: bool) -> None:
    if as_json:
        console.print_json(document)
        return
    flat = {
        name: orjson.dumps(value).decode() if isinstance(value, dict) else value
        for name, value in document.items()
    }
    console.print_mapping(title, flat)


def say_unknown_kinds(kinds: Sequence[str]) -> None:
    """Say on stderr which kinds of events count nothing, and what gives them a weight."""
    for line in unknown_kind_lines(kinds):
        console.say(line)


def rejects_file(settings: Settings, source: str) -> Path:
    """Where the rejected rows of a source are written."""
    folder = settings.home / "rejects"
    folder.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"[*?\[\]]", "_", Path(source).name) or "tables"
    return folder / f"{name}.csv"


def listed_users(settings: Settings, path: Path) -> list[str]:
    """The users that a file names, one id on each line, all of which are in the graph.

    Raises:
        TableError: the file is not UTF-8.
        OSError: it cannot be read.
        NotFoundError: it names a user that is not in the graph.
        Neo4jError: the graph cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise TableError(f"{path} is not UTF-8: save it as UTF-8") from None
    # Not `splitlines`: an id may hold other ends of lines.
    ids = [line.removesuffix("\r") for line in text.split("\n") if line.removesuffix("\r")]
    with open_gateway(settings) as gateway:
        unknown = unknown_users(gateway, ids)
    if unknown:
        raise NotFoundError(
            f"{path}: {len(unknown)} of {len(ids)} users are not in the graph, the first is "
            f"{unknown[0]!r}: leave them out"
        )
    return ids


def training_graph(
    settings: Settings,
    data: str | None,
    properties: PropertyNames = NO_PROPERTIES,
    describing: Any = None,
) -> Any:
    """The graph from Neo4j, or from tables where some are named.

    Args:
        settings: all of them.
        data: the tables.
        properties: what models learn from besides.
        describing: a `recsvc.content.describe.Describing`, where a model asks for it.
    """
    if data is None:
        from loaders.extract import extract_graph

        with open_gateway(settings) as gateway, console.progress_bars() as bars:
            graph = extract_graph(gateway, bars, properties=properties)
            return graph if describing is None else describing.from_database(graph, gateway)
    from loaders.datasets import open_source
    from loaders.tables import Rejects, graph_from_tables

    rejects = rejects_file(settings, data)
    with Rejects(rejects) as log:
        tables = open_source(data)
        graph = graph_from_tables(tables, log.add, properties)
        if log.total:
            console.say(f"{log.total:,} rejected rows and why: {rejects}")
    return graph if describing is None else describing.from_tables(graph, tables)


@contextmanager
def describing_for(
    settings: Settings, models: Mapping[str, Mapping[str, Any]], device: str
) -> Generator[Any]:
    """What encodes texts for some models, with a progress bar; None where none asks for it.

    Args:
        settings: all of them.
        models: the values of the options of each.
        device: `cpu` or `cuda`.
    """
    from recsvc.training.described import content_source

    source = content_source(models)
    if source is None:
        yield None
        return
    from recsvc.content.describe import Describing

    with console.progress_bars() as bars:
        yield Describing(source, settings.home, device, bars)


@contextmanager
def lists_by(
    engine: str | None, settings: Settings, folder: Path
) -> Generator["Callable[..., Iterator[UserList]]"]:
    """What makes the lists of many users: this process, or Spark.

    Args:
        engine: `spark`, or None.
        settings: all of them.
        folder: a path that all machines share.
    """
    from recsvc.recommend.batch import recommend_all

    if engine is None:
        yield recommend_all
        return
    from loaders.spark import spark_session
    from recsvc.recommend.spark_lists import lists_on

    with spark_session(settings.home, console.say) as session:
        yield lists_on(session, folder)


def device_of(name: str | None) -> str:
    """The device asked for, else a GPU where there is one."""
    if name is not None:
        return name
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


@contextmanager
def epoch_bars(model: str) -> Generator[Callable[[str, int | None], Callable[[Any], None]]]:
    """A bar for each fit of a model: a `recsvc.training.fit.Watch`."""
    with console.progress_bars() as bars:
        yield lambda fit, epochs: partial(_show_epoch, bars, f"{model}: {fit}", epochs)


def _show_epoch(bars: console.Bars, what: str, epochs: int | None, record: Any) -> None:
    parts = [
        f"loss {record.loss:.4f}" if record.loss is not None else "",
        f"NDCG@20 {record.metric:.4f}" if record.metric is not None else "",
        f"{record.examples_per_second:,.0f} examples/s",
    ]
    bars(what, record.epoch, epochs, "  ".join(filter(None, parts)))
