"""The commands, in the order in which data goes through the system.

db up → ingest or attach → report → extract → train, evaluate, tune → refresh
→ recommend, explain, similar → serve
"""

import contextlib
import logging
import re
import sys
from importlib.metadata import requires

import structlog
import typer

from loaders.errors import LoaderError
from recsvc.commands import (
    agents,
    analyst,
    answers,
    attach,
    backup,
    data,
    database,
    demo,
    doctor,
    experiments,
    exposure,
    keys,
    links,
    models,
    outcomes,
    paths,
    persons,
    scenarios,
    schedule,
    serving,
    streams,
    versions,
)
from recsvc.commands._shared import end_as_by_ctrl_c
from recsvc.errors import GateError, RecsvcError, SettingsError, file_error
from recsvc.json_log import configure_json_log
from recsvc.private_files import narrow, write_private_files
from recsvc.refresh.process import REFUSED
from recsvc.settings import load_settings

app = typer.Typer(
    name="recsvc",
    help="Recommendations from a Neo4j graph, each with an exact explanation.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
db = typer.Typer(help="The Neo4j on this machine.", no_args_is_help=True)
app.add_typer(db, name="db")

db.command()(database.up)
db.command()(database.down)
db.command()(database.status)

analysts = typer.Typer(help="What analysts look with.", no_args_is_help=True)
app.add_typer(analysts, name="analyst")
analysts.command()(analyst.install)
analysts.command()(analyst.up)
analysts.command()(analyst.down)

trials = typer.Typer(help="Which variant of lists is better.", no_args_is_help=True)
app.add_typer(trials, name="experiments")
trials.command(name="list")(experiments.list_)
trials.command()(experiments.put)
trials.command()(experiments.results)
trials.command()(experiments.estimate)
trials.command()(experiments.stop)
trials.command()(experiments.delete)

api_keys = typer.Typer(help="API keys of the HTTP service.", no_args_is_help=True)
app.add_typer(api_keys, name="keys")
api_keys.command()(keys.create)
api_keys.command(name="list")(keys.list_)
api_keys.command()(keys.revoke)

metapaths = typer.Typer(help="Meta-paths, checked and tried.", no_args_is_help=True)
app.add_typer(metapaths, name="path")
metapaths.command()(paths.check)
metapaths.command(name="try")(paths.try_)

told = typer.Typer(help="What followed answers.", no_args_is_help=True)
app.add_typer(told, name="outcomes")
told.command()(outcomes.stats)
told.command()(outcomes.prune)

lists = typer.Typer(help="Scenarios: how lists are made.", no_args_is_help=True)
app.add_typer(lists, name="scenarios")
lists.command(name="list")(scenarios.list_)
lists.command()(scenarios.show)
lists.command()(scenarios.put)
lists.command(name="try")(scenarios.try_)
lists.command()(scenarios.rollback)
lists.command()(scenarios.delete)

app.command()(backup.backup)
app.command()(backup.restore)

# A graph of somebody else, tables → graph → arrays.
app.command()(attach.attach)
app.command()(attach.detach)
app.command()(data.ingest)
app.command()(data.report)
app.command()(data.extract)

# Arrays → vectors → graph.
app.command()(models.train)
app.command()(models.evaluate)
app.command()(models.tune)
app.command()(links.links)
app.command()(models.refresh)
app.command()(schedule.schedule)
app.command()(versions.versions)
app.command()(versions.activate)
app.command()(versions.rollback)
app.command()(versions.unlearn)

# Graph and vectors → recommendations and why.
app.command()(answers.recommend)
app.command()(answers.home)
app.command()(answers.explain)
app.command()(answers.recourse)
app.command()(answers.item_recourse)
app.command()(answers.verify)
app.command()(answers.similar)
app.command()(exposure.exposure)
app.command()(answers.batch_recommend)
app.command()(serving.serve)
app.command()(agents.mcp)
app.command()(streams.consume)
app.command()(streams.publish)

app.command()(data.retract)
app.command()(persons.person_link)
app.command()(data.export_user)
app.command()(data.delete_user)
app.command()(doctor.doctor)

app.command(hidden=True)(demo.demo)


_LOGGING = ("schedule", "consume", "publish")
"""Commands that run on and log what they do."""
_INTERRUPTED = 130
"""What typer makes of Ctrl-C."""


def main() -> None:
    """Run a command.

    Exit code 1 and one line on stderr for a failure, 2 for wrong usage, 3 for a refresh whose
    version the gate refused: to try that again changes nothing.
    """
    write_private_files()
    end_as_by_ctrl_c()
    try:
        app()
    except SystemExit as ended:
        if ended.code != _INTERRUPTED:
            raise
        sys.stderr.write("recsvc: interrupted\n")
        sys.exit(1)
    except (LoaderError, RecsvcError) as error:
        sys.stderr.write(f"recsvc: {' '.join(str(error).splitlines()) or type(error).__name__}\n")
        sys.exit(REFUSED if isinstance(error, GateError) else 1)
    except ModuleNotFoundError as error:
        extra = _extra_of(error.name or "")
        if extra is None:
            raise
        sys.stderr.write(
            f"recsvc: {error.name} is not installed, which this command needs: "
            f"pip install 'recsvc[{extra}]'\n"
        )
        sys.exit(1)
    except OSError as error:  # a full disk, a folder that cannot be written
        sys.stderr.write(f"recsvc: {file_error(error)}\n")
        sys.exit(1)


def _extra_of(module: str) -> str | None:
    """The extra of this package that brings a module; None where none does."""
    package = module.partition(".")[0].replace("_", "-")
    for requirement in requires("recsvc") or ():
        match = re.fullmatch(r"([\w-]+).*extra == ['\"](\w+)['\"]", requirement)
        if match and match[1].removesuffix("-skinny") == package:
            return match[2]
    return None


@app.callback()
def prepare(context: typer.Context) -> None:
    """Recommendations from a Neo4j graph, each with an exact explanation."""
    # The driver reports a retried dead-lock as a warning; the retry is what was meant to happen.
    logging.getLogger("neo4j").setLevel(logging.ERROR)
    # It tells of its cache, on a stderr that is a log of JSON lines.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    with contextlib.suppress(SettingsError):  # the command says what is wrong
        narrow(load_settings().home)
    command = context.invoked_subcommand
    if command in _LOGGING or (command == "refresh" and not sys.stderr.isatty()):
        configure_json_log()
        return
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
