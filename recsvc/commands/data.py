"""Data into the graph and out of it."""

import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from loaders.errors import RejectedRowsError, TableError
from loaders.files import write_bytes
from loaders.local_neo4j import LocalNeo4j
from recsvc.commands import console
from recsvc.commands._shared import (
    AsJson,
    EngineOption,
    file_to_write,
    listed_users,
    print_document,
    rejects_file,
    say_unknown_kinds,
)
from recsvc.commands.connecting import (
    keeps_changes,
    local_neo4j,
    open_gateway,
    open_writing_gateway,
    with_engine,
)
from recsvc.errors import SettingsError
from recsvc.event_kinds import EventSettings, unknown_kinds
from recsvc.graph.change_store import take_back
from recsvc.graph.version_store import all_versions
from recsvc.settings import Settings, load_settings

if TYPE_CHECKING:
    from loaders.ingest import IngestReport
    from recsvc.recommend.engine import Engine

_MOST_REASONS = 20
_TIME_FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]


def ingest(
    source: Annotated[
        str,
        typer.Argument(
            help="A folder of tables, a file, a quoted glob, or a named data set: lastfm, "
            "movielens, gowalla, ciao, epinions, amazon, retailrocket, taobao, …"
        ),
    ],
    files: Annotated[
        Path | None, typer.Option("--from", help="Folder with a named data set's own files.")
    ] = None,
    download: Annotated[
        bool, typer.Option("--download", help="Fetch a named data set from where it is published.")
    ] = False,
    mapping: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="NAME=THEIRS",
            help="Their name of a column (interactions.user_id=visitorid) or of a file "
            "(interactions=events).",
        ),
    ] = None,
    event_weight: Annotated[
        list[str] | None,
        typer.Option(
            "--event-weight",
            metavar="NAME=WEIGHT",
            help="What a kind of event counts, such as borrowed=1: written into recsvc.toml.",
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TABLE.COLUMN",
            help="Of a table's further columns, those that become properties; TABLE alone: none.",
        ),
    ] = None,
    drop: Annotated[
        list[str] | None, typer.Option(metavar="TABLE.COLUMN", help="A column to leave out.")
    ] = None,
    null: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TABLE.COLUMN=CELL",
            help="A cell that counts as empty: interactions.item_id=POST, categories.parent_id=0.",
        ),
    ] = None,
    event: Annotated[
        str | None, typer.Option(metavar="KIND", help="The kind of interactions that name none.")
    ] = None,
    date_format: Annotated[
        str | None,
        typer.Option(
            "--date-format",
            metavar="FORMAT",
            help="How times are written, such as '%d/%m/%Y %H:%M'; ms for milliseconds since 1970.",
        ),
    ] = None,
    decimal_comma: Annotated[
        bool, typer.Option("--decimal-comma", help="Numbers are written as 1.234,5.")
    ] = False,
    category_list: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="What is between several categories in one cell: '|'."),
    ] = None,
    category_path: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="What is between a category and one below it: ' > '."),
    ] = None,
    keep_null_ids: Annotated[
        bool, typer.Option("--keep-null-ids", help="NULL, nan, None and the like are ids.")
    ] = False,
    strict: Annotated[bool, typer.Option(help="Load nothing if any row is bad.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check and count every row, and load nothing.")
    ] = False,
    bulk: Annotated[
        bool, typer.Option(help="Import into the empty local Neo4j, which is stopped for it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Merge tables into the graph; the same tables again change nothing."""
    from loaders.datasets import open_source
    from loaders.ingest import check
    from loaders.ingest import ingest as ingest_tables
    from loaders.ingest.bulk import bulk_ingest
    from loaders.tables import CategoryCells, parse_mapping

    if dry_run and bulk:
        raise typer.BadParameter("--dry-run loads nothing: leave out --bulk")
    settings = _with_weights(event_weight or (), dry_run=dry_run)
    rejects = rejects_file(settings, source)
    read_as = parse_mapping(
        mapping or [], only=only or [], drop=drop or [], null=null or [], event=event,
        date_format=date_format, null_ids=keep_null_ids, decimal_comma=decimal_comma,
        categories=CategoryCells(category_list, category_path),
    )  # fmt: skip
    download_to = settings.home / "datasets" / source if download else None
    with console.progress_bars() as bars:
        tables = open_source(source, files, download_to=download_to, mapping=read_as, progress=bars)
        if dry_run:
            report = check(tables, rejects=rejects, strict=strict, progress=bars)
        elif bulk:
            local = own_neo4j(settings)
            report = bulk_ingest(local, tables, rejects=rejects, strict=strict, progress=bars)
        else:
            with open_writing_gateway(settings) as gateway:
                report = ingest_tables(
                    gateway, tables, rejects=rejects, strict=strict, progress=bars
                )
    unknown = unknown_kinds(report.kinds, settings.events)
    for warning in report.warnings:
        console.say(warning)
    say_unknown_kinds(unknown)
    if as_json:
        console.print_json(_document(report, unknown, dry_run=dry_run))
    else:
        _print_report(report, dry_run=dry_run)
    _refuse_nothing(source, report)


def extract(
    out: Annotated[Path, typer.Option(help="Folder for the files.")],
    form: Annotated[
        Literal["npz", "parquet", "hetero", "networkx"],
        typer.Option("--format", help="Arrays, tables, PyG HeteroData or node-link JSON."),
    ] = "npz",
    engine: EngineOption = None,
    until: Annotated[
        datetime | None,
        typer.Option(formats=_TIME_FORMATS, help="Nothing from this moment on (UTC)."),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME|MODEL@VERSION",
            help="Interactions of this moment or later, or since a version was made.",
        ),
    ] = None,
    k_core: Annotated[
        int | None,
        typer.Option("--k-core", min=1, help="Users and items with this many counterparts."),
    ] = None,
    users: Annotated[
        Path | None, typer.Option(help="File with one user id per line: only those users.")
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="Only nodes of this label; repeat for several.")
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option("--type", help="Only relationships of this type; repeat for several."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Read the training graph, or a part of it, out into files."""
    from loaders.extract import Selection, extract_to_folder

    settings = load_settings()
    chosen: dict[str, Any] = {"labels": label, "types": kind}
    if users is not None:
        chosen["users"] = listed_users(settings, users)
    try:
        selection = Selection(
            until=until and until.replace(tzinfo=UTC),
            since=_moment(settings, since) if since else None,
            k_core=k_core,
            **{name: value for name, value in chosen.items() if value is not None},
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    if engine is not None and selection != Selection():
        raise typer.BadParameter(
            "--engine spark reads the whole graph: leave out --until, --since, --k-core, --users, "
            "--label and --type"
        )
    with open_gateway(settings) as gateway, console.progress_bars() as bars:
        if engine is not None:
            from loaders.spark import extract_with_spark, spark_session

            with spark_session(settings.home, console.say) as session:
                saved = extract_with_spark(session, gateway, out, form, bars)
        else:
            saved = extract_to_folder(gateway, out, bars, selection, form)
    document = {
        "folder": str(saved.folder),
        "nodes": dict(saved.nodes),
        "relationships": dict(saved.relationships),
        "seconds": saved.seconds,
        "relationships_per_second": saved.relationships_per_second,
    }
    print_document(document, f"extracted to {saved.folder}", as_json=as_json)


def report(
    refresh: Annotated[
        str | None,
        typer.Option(help="A run, as `recsvc refresh` names it: tell of it, not of the graph."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The page to write (.html).", callback=file_to_write(".html")),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """What the graph holds: counts, distributions, components, cold users and items.

    Or what a refresh did.
    """
    from recsvc.refresh.page import sections_of
    from recsvc.refresh.run_journal import read_manifest
    from recsvc.report import build_report
    from recsvc.report.page import write_sections
    from recsvc.report.sections import sections

    settings = load_settings()
    if refresh is None:
        with open_gateway(settings) as gateway, console.progress_bars() as bars:
            measured = build_report(gateway, bars, events=settings.events)
        title, parts, document = "Data report", sections(measured), measured.document()
    else:
        title, parts = f"Refresh {refresh}", sections_of(settings.home, refresh)
        manifest = read_manifest(settings.home, refresh)
        document = manifest.model_dump(mode="json") if manifest else {}
    if out is not None:
        write_sections(title, parts, out)
    if as_json:
        console.print_json({**document, "page": str(out) if out else None})
        return
    console.print_sections(parts)
    console.say(f"the same with plots: {out}" if out else "the same with plots: --out FILE")


def export_user(
    user: Annotated[str, typer.Argument(help="Id of the user.")],
    out: Annotated[
        Path | None,
        typer.Option(help="File to write: .json. Else stdout.", callback=file_to_write(".json")),
    ] = None,
) -> None:
    """All that is known of and derived from a user, as one JSON document."""

    async def collected(engine: "Engine") -> bytes:
        return b"".join([part async for part in await engine.nodes.export(user)])

    document = with_engine(load_settings(), collected)
    if out is None:
        console.print_line(document.decode())
    else:
        write_bytes(out, document)
        console.say(f"what is known of user {user} is in {out}")


def delete_user(
    user: Annotated[str, typer.Argument(help="Id of the user.")], as_json: AsJson = False
) -> None:
    """Delete a user and everything derived from them."""
    from recsvc.refresh.places import forget_here
    from recsvc.snapshot import deletion

    settings = load_settings()
    with open_writing_gateway(settings) as gateway:
        try:
            deletion.delete_user(
                gateway, user, snapshot_folder=settings.home / "snapshots",
                keeps_changes=keeps_changes(settings),
            )  # fmt: skip
        finally:  # asked again, it goes on, with what one that was ended has left too
            for told in forget_here(settings.home, "user", user):
                console.say(told)
    print_document({"deleted": user}, f"user {user} is deleted", as_json=as_json)


def retract(
    user: Annotated[str, typer.Argument(help="Id of the user.")],
    item: Annotated[str, typer.Argument(help="Id of the item.")],
    event: Annotated[str | None, typer.Option(help="Kind of event; without it, all kinds.")] = None,
    as_json: AsJson = False,
) -> None:
    """Take back what a user did with an item."""
    from recsvc.recommend.graph_writer import nothing_to_take_back

    settings = load_settings()
    with open_writing_gateway(settings) as gateway:
        kinds = take_back(gateway, user, item, event, keeps_changes=keeps_changes(settings))
    if not kinds:
        raise nothing_to_take_back(user, item, event)
    told = f"{', '.join(kinds)} of user {user} with item {item} is taken back"
    print_document({"user_id": user, "item_id": item, "events": kinds}, told, as_json=as_json)


def _document(report: "IngestReport", unknown: Sequence[str], *, dry_run: bool) -> dict[str, Any]:
    from recsvc.settings_file import event_line

    return {
        "tables": {name: dataclasses.asdict(table) for name, table in report.tables.items()},
        "rejected": report.rejected,
        "reasons": [dataclasses.asdict(reason) for reason in report.reasons],
        "example": report.example if dry_run else None,
        "rejects": str(report.rejects) if report.rejects else None,
        "warnings": list(report.warnings),
        "unknown_kinds": {
            kind: {"rows": report.kinds[kind], "setting": event_line(kind)} for kind in unknown
        },
        "seconds": report.seconds,
    }


def _print_report(report: "IngestReport", *, dry_run: bool) -> None:
    rows = [
        (name, table.read, table.rejected, table.written, table.unlisted, table.rows_per_second)
        for name, table in report.tables.items()
    ]
    columns = ("table", "read", "rejected", "different", "unlisted ids", "rows/s")
    done = "checked, nothing loaded," if dry_run else "ingested"
    console.print_table(f"{done} in {report.seconds:.1f} s", columns, rows)
    if dry_run:
        for name, row in report.example.items():
            read = [(column, str(value)) for column, value in row.items() if value is not None]
            console.print_table("", (name, "first row"), read)
    if report.rejects:
        reasons = [(reason.rows, reason.first) for reason in report.reasons[:_MOST_REASONS]]
        console.print_table("rejected rows", ("rows", "the first, and why"), reasons)
        console.say(f"all rejected rows and why: {report.rejects}")


def _refuse_nothing(source: str, report: "IngestReport") -> None:
    """Fail where a table was of no use: the others are loaded by then.

    Raises:
        TableError: a table has no row, or every row of one is rejected.
    """
    for name, table in report.tables.items():
        if not table.read:
            raise TableError(
                f"{name} of {source} holds no row: expected some below the header: leave the file "
                "out if there are none"
            )
        if table.read and table.rejected == table.read:
            raise RejectedRowsError(
                f"every row of {name} is rejected ({table.rejected:,}): the first is "
                f"{table.first_rejected}; all are in {report.rejects}: correct them, or say how "
                "the table is to be read (`recsvc ingest --help`)"
            )


def _with_weights(given: Sequence[str], *, dry_run: bool) -> Settings:
    """The settings with these weights of events, which are written into recsvc.toml.

    Raises:
        SettingsError: one is no weight, or the file cannot be changed.
    """
    from recsvc.settings_file import parse_event_weights, write_event_weights

    weights = parse_event_weights(given)
    if weights and not dry_run:
        write_event_weights(weights)
    settings = load_settings()
    if not dry_run:
        return settings
    given_events = {name: EventSettings(weight=weight) for name, weight in weights.items()}
    return settings.model_copy(update={"events": settings.events | given_events})


def _moment(settings: Settings, text: str) -> datetime:
    """A time, or the time at which a version's graph was read.

    Raises:
        BadParameter: it is neither, or there is no such version.
    """
    model, _, number = text.rpartition("@")
    if not model:
        try:
            time = datetime.fromisoformat(text)
        except ValueError:
            raise typer.BadParameter(f"{text!r} is neither ISO 8601 nor MODEL@VERSION") from None
        return time if time.utcoffset() is not None else time.replace(tzinfo=UTC)
    with open_gateway(settings) as gateway:
        versions = all_versions(gateway)
    for version in versions:
        if version.get("model") == model and str(version.get("version")) == number:
            if "graph_at" not in version:
                raise typer.BadParameter(f"when {text} read its graph is not known: name a time")
            return datetime.fromisoformat(version["graph_at"])
    raise typer.BadParameter(f"no version {text!r}: see `recsvc versions`")


def own_neo4j(settings: Settings) -> LocalNeo4j:
    """The Neo4j on this machine, where it is the one in use.

    Raises:
        SettingsError: the settings name another one.
    """
    if settings.neo4j_uri is not None:
        raise SettingsError(
            "a bulk import works on the files of the Neo4j on this machine, and RECSVC_NEO4J_URI "
            "names another one: unset it, or leave out --bulk"
        )
    return local_neo4j(settings)
