"""All files for analysts, and what to do with each."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from loaders.files import write_bytes
from loaders.mapped import MappedGraph
from recsvc.analyst.browser import guide, saved_queries, style
from recsvc.analyst.notebook import notebook
from recsvc.analyst.questions import questions, values
from recsvc.settings import EventSettings

PATH = "/analyst"
"""Where the service has them."""


@dataclass(frozen=True, slots=True)
class KitFile:
    """One file.

    Attributes:
        content: what is in it.
        media_type: what it is.
        use: what to do with it; `{url}` and `{file}` are where it is.
    """

    content: bytes
    media_type: str
    use: str


def kit(
    events: Mapping[str, EventSettings], graph: MappedGraph | None = None
) -> dict[str, KitFile]:
    """The files by name.

    Args:
        events: settings of the kinds of events, which one question takes.
        graph: how the graph maps to ours, where it is the graph of somebody else.
    """
    asked, given = questions(graph), values(events)
    return {
        "guide.html": KitFile(
            guide(asked, given).encode(), "text/html; charset=utf-8",
            "with `recsvc serve` running, enter in Neo4j Browser: :play {url}",
        ),
        "style.grass": KitFile(
            style().encode(), "text/plain; charset=utf-8",
            "with `recsvc serve` running, enter in Neo4j Browser: :style {url}",
        ),
        "saved-queries.zip": KitFile(
            saved_queries(asked, given), "application/zip",
            "drop {file} on the window of Neo4j Browser: the drawer with the star has them then",
        ),
        "questions.ipynb": KitFile(
            notebook(asked, given).encode(), "application/x-ipynb+json",
            "open {file} in Jupyter; it wants the packages neo4j and polars",
        ),
    }  # fmt: skip


def install(
    folder: Path,
    events: Mapping[str, EventSettings],
    *,
    port: int,
    graph: MappedGraph | None = None,
) -> dict[str, dict[str, str]]:
    """Write the files.

    Args:
        folder: where to; made where it is not there.
        events: settings of the kinds of events.
        port: of the service.
        graph: see `kit`.

    Returns:
        By name of the file: where it is, and what to do with it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    told: dict[str, dict[str, str]] = {}
    for name, part in kit(events, graph).items():
        file = folder / name
        write_bytes(file, part.content)
        # Browser takes guides from `localhost` and not from 127.0.0.1 unless it is told to.
        url = f"http://localhost:{port}{PATH}/{name}"
        told[name] = {"file": str(file), "use": part.use.format(url=url, file=file)}
    return told
