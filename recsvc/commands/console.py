"""How the command line shows things: tables, progress bars, JSON, errors."""

import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import orjson
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from recsvc.answer import Answer, NodeRef, SimilarAnswer
from recsvc.json_log import logs_json

if TYPE_CHECKING:
    from recsvc.recommend.home import Home
    from recsvc.report.sections import Section

out = Console()
err = Console(stderr=True)


def print_json(document: object) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode() + "\n")


def say(message: str) -> None:
    """A line about what is being done, on stderr."""
    err.print(Text(message, style="dim"), soft_wrap=True)  # what it names can be pasted


def print_line(line: str) -> None:
    """Text on stdout as it is, however long its lines: it can be pasted."""
    out.file.write(f"{line}\n")


class Bars(Protocol):
    """Moves a bar, and makes it where it is not there yet."""

    def __call__(self, what: str, done: int, total: int | None, note: str | None = None) -> None:
        """Show that `done` of `total` are done, and a note in place of the rate."""
        ...


@contextmanager
def progress_bars() -> Generator[Bars]:
    """Bars with rate and time left on a terminal; elsewhere a line for each thing begun.

    No such lines come between those of a log.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, disable=not err.is_terminal, transient=True) as progress:
        tasks: dict[str, TaskID] = {}

        def update(what: str, done: int, total: int | None, note: str | None = None) -> None:
            if what not in tasks:
                if not err.is_terminal and not logs_json():
                    say(what)
                tasks[what] = progress.add_task(what, total=total or None, rate="")
            progress.update(tasks[what], completed=done, total=total or None)
            speed = progress.tasks[tasks[what]].speed
            rate = f"{speed:,.0f}/s" if speed else ""
            progress.update(tasks[what], rate=rate if note is None else note)

        yield update


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table on stdout; numbers on the right."""
    table = Table(title=title, title_justify="left")
    for position, column in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[position], int | float) for row in rows)
        # Folded, not cut: a path or an id can be copied whole.
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_shown(value)) for value in row))
    out.print(table)


def print_mapping(title: str, values: Mapping[str, object]) -> None:
    """Names and values on stdout."""
    print_table(title, ("", ""), [(name, _shown(value)) for name, value in values.items()])


def print_home(home: "Home") -> None:
    """Rows for a user, each with its items and why, on stdout."""
    for note in home.degraded:
        out.print(Text(f"left out: {note}", style="yellow"))
    for row in home.rows:
        rows = [
            (item.rank, item.title or item.item_id, item.item_id, item.explanation.text)
            for item in row.items
            if item.explanation is not None
        ]
        print_table(row.title, ("", "title", "item", "why"), rows)
    if not home.rows:
        say("there are not three items for any row")


def print_answer(answer: Answer) -> None:
    """Recommendations and why, on stdout."""
    versions = ", ".join(f"{model} {number}" for model, number in answer.versions.items())
    who = f"user {answer.user_id}" if answer.user_id is not None else "this evidence"
    out.print(Text(f"For {who} ({versions}; {answer.took_ms:.0f} ms)", style="bold"))
    for note in answer.degraded:
        out.print(Text(f"left out: {note}", style="yellow"))
    for item in answer.items:
        heading = Text(f"{item.rank:3d}. ")
        heading.append(item.title or item.item_id, style="bold")
        heading.append(f"  [{item.item_id}]  score {item.score:.4f}", style="dim")
        out.print(heading)
        if item.explanation is None:
            continue
        out.print(Text(f"     {item.explanation.text}"))
        parts = "  ".join(f"{name} {value:+.3f}" for name, value in item.signals.items())
        out.print(Text(f"     {parts}", style="dim"))
        for path in (item.explanation.paths or ())[:3]:
            out.print(Text(f"     {path.contribution:+.4f}  {_drawn(path)}", style="cyan"))
    if answer.short is not None:
        print_line(answer.short)


def print_sections(sections: "Sequence[Section]") -> None:
    """The sentences and tables of a report, on stdout."""
    for section in sections:
        out.print(Text(section.heading, style="bold"))
        for sentence in section.sentences:
            out.print(Text(sentence))
        for table in section.tables:
            print_table(table.title, table.columns, table.rows)


def print_contributions(answer: Answer) -> None:
    """Every listed contribution of the first item, on stdout."""
    explanation = answer.items[0].explanation
    if explanation is None:
        return
    own = answer.items[0].item_id
    rows: list[Sequence[object]] = [
        (c.signal, c.evidence.kind, _told(c.evidence, own), f"{c.value:+.5f}")
        for c in explanation.contributions
    ]
    rows.append(("everything else", "", "", f"{explanation.remainder:+.5f}"))
    print_table("contributions", ("signal", "evidence", "", "value"), rows)
    if explanation.cypher:
        out.print(Text("Draw it in Neo4j Browser:", style="bold"))
        print_line(explanation.cypher)


def print_similar(answer: SimilarAnswer) -> None:
    """Neighbours, on stdout; else why there are none."""
    if answer.reason is not None:
        say(f"nothing is nearest to {answer.id} ({answer.model} {answer.version}): {answer.reason}")
        return
    print_table(
        f"nearest to {answer.id} ({answer.model} {answer.version})",
        ("rank", "id", "title", "cosine"),
        [(n.rank, n.id, n.title or "", round(n.score, 4)) for n in answer.items],
    )


def _told(evidence: NodeRef, item_id: str) -> str:
    """The name of a piece of evidence; an item that the user has speaks for itself, too."""
    if (evidence.kind, evidence.id) == ("item", item_id):
        return "the item itself"
    return evidence.title or evidence.id or ""


def _drawn(path: Any) -> str:
    return " > ".join(node.title or node.id or _without_id(node.kind) for node in path.nodes)


def _without_id(kind: str) -> str:
    """A person that the user does not follow, or what lies between in a mapped graph."""
    return "someone" if kind == "user" else kind


def _shown(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
