"""`recsvc doctor`: what is amiss on this machine and in the graph, a line for each check."""

import asyncio
import os
import platform
import shutil
from collections.abc import Callable, Generator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException
from importlib.util import find_spec
from typing import TypeVar

import psutil
import typer

from loaders.catalogue import catalogue
from loaders.errors import LoaderError, QueryError
from loaders.gateway import Gateway
from loaders.schema import missing
from recsvc.commands import console
from recsvc.commands._shared import AsJson
from recsvc.commands.connecting import local_neo4j, open_gateway
from recsvc.errors import ApiKeyError, RecsvcError, RefreshError, SettingsError, file_error
from recsvc.graph.experiment_store import EVERY, stored_experiments
from recsvc.graph.mapping_check import check_mapping
from recsvc.graph.version_store import all_versions
from recsvc.recommend.experiments import trials_of
from recsvc.refresh.options import HYBRID, refresh_options
from recsvc.scenarios.stored import stored_scenarios
from recsvc.service.callers import issuer_tokens
from recsvc.service.keys import key_file
from recsvc.service.listening import check_address
from recsvc.settings import Settings, load_settings

_T = TypeVar("_T")

_LEAST_FREE = 2**30
"""Bytes where `RECSVC_HOME` is."""
_LEAST_BESIDES = 2**30
"""Bytes of memory besides what the local Neo4j takes."""
_ASK_SECONDS = 2.0
"""How long the service has to say that it is there."""
_OLD_DAYS = 30
"""Age of an active version that is said to be old."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found.

    Attributes:
        check: its name.
        ok: whether all is well there.
        said: what was found; where something is amiss, what to do.
    """

    check: str
    ok: bool
    said: str


def doctor(as_json: AsJson = False) -> None:
    """Check the machine, Neo4j, the settings and the versions, and say what to do.

    Exit code 1 if something is amiss.
    """
    findings = list(_findings())
    ok = all(finding.ok for finding in findings)
    if as_json:
        console.print_json({"ok": ok, "checks": [asdict(finding) for finding in findings]})
    else:
        for finding in findings:
            mark = "ok  " if finding.ok else "MEND"
            console.print_line(f"{mark} {finding.check}: {finding.said}")
    if not ok:
        raise typer.Exit(1)


def _findings() -> Generator[Finding]:
    """Those of every check that can be made: without settings or Neo4j some cannot."""
    try:
        settings = load_settings()
        refresh_options(settings, {})
    except SettingsError as error:
        yield Finding("settings", False, str(error))
        return
    yield Finding("settings", True, "can be read")
    for name, check in _OF_THE_MACHINE.items():
        yield _found(name, check, settings)
    if settings.oidc is not None:
        yield _found("issuer", _issuer, settings)
    try:
        gateway = open_gateway(settings)
    except LoaderError as error:
        yield Finding("neo4j", False, _one_line(error))
        return
    with gateway:
        for name, ask in _OF_THE_GRAPH.items():
            yield _found(name, ask, gateway)


def _found(name: str, check: Callable[[_T], str], given: _T) -> Finding:
    try:
        return Finding(name, True, check(given))
    except OSError as error:
        return Finding(name, False, _one_line(file_error(error)))
    except (LoaderError, RecsvcError) as error:
        return Finding(name, False, _one_line(error))


def _one_line(error: object) -> str:
    return " ".join(str(error).split())


def _machine(settings: Settings) -> str:
    """Python, processor cores and memory; whether a refresh can run here."""
    memory = psutil.virtual_memory().total
    neo4j = (settings.neo4j_heap_megabytes + settings.neo4j_page_cache_megabytes) * 2**20
    if settings.neo4j_uri is None and memory < neo4j + _LEAST_BESIDES:
        raise SettingsError(
            f"{_gibibytes(memory)} of memory, and the local Neo4j may take {_gibibytes(neo4j)} of "
            "it: lower RECSVC_NEO4J_HEAP_MEGABYTES or RECSVC_NEO4J_PAGE_CACHE_MEGABYTES"
        )
    refreshes = "" if find_spec("torch") else "; to refresh here, pip install 'recsvc[train]'"
    return (
        f"Python {platform.python_version()}, {os.cpu_count()} cores, {_gibibytes(memory)} of "
        f"memory{refreshes}"
    )


def _disk(settings: Settings) -> str:
    """Whether `RECSVC_HOME` can be written, and how much room there is."""
    home = settings.home.absolute()
    there = next(folder for folder in (home, *home.parents) if folder.exists())
    free = shutil.disk_usage(there).free
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        raise SettingsError(f"{there} cannot be written: name another folder with RECSVC_HOME")
    if free < _LEAST_FREE:
        raise SettingsError(
            f"{_gibibytes(free)} are free where {home} is, {_gibibytes(_LEAST_FREE)} are needed: "
            "make room, or move everything with RECSVC_HOME"
        )
    return f"{_gibibytes(free)} are free where {home} is"


def _runtime(settings: Settings) -> str:
    """What runs the local Neo4j."""
    if settings.neo4j_uri is not None:
        return "not needed: RECSVC_NEO4J_URI names a Neo4j"
    return local_neo4j(settings).runtime()


def _ports(settings: Settings) -> str:
    """Whether what is to listen here listens, or can."""
    said: list[str] = []
    if settings.neo4j_uri is None:
        local = local_neo4j(settings)
        status = local.status()
        if not status.running:
            local.check_ports()
        said.append(f"Neo4j {'listens' if status.running else 'can listen'}")
    serves = _is_served(settings)
    if not serves:
        check_address(str(settings.host), settings.port)
    said.append(f"the service {'listens' if serves else 'can listen'} on port {settings.port}")
    return ", ".join(said)


def _is_served(settings: Settings) -> bool:
    """Whether the service answers where it is to listen."""
    # Not by way of a proxy that the environment names.
    connection = HTTPConnection(str(settings.host), settings.port, timeout=_ASK_SECONDS)
    try:
        connection.request("GET", "/health/live")
        return connection.getresponse().read(64) == b'{"status":"live"}'
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _keys(settings: Settings) -> str:
    """Whether the service could tell who asks."""
    file = key_file(settings)
    keys = file.keys()
    if keys is None and file.was_made:
        raise ApiKeyError(
            f"{file.path} is gone, so nobody is answered: put it back, create keys, or remove "
            f"{file.mark} too"
        )
    if not keys and not settings.host.is_loopback and settings.oidc is None:
        raise ApiKeyError(
            f"the service is to listen on {settings.host} and there is no key, so nobody is "
            "answered: recsvc keys create NAME"
        )
    if settings.oidc is not None:
        return f"{len(keys or ())} API keys, beside the tokens of an issuer"
    return f"{len(keys)} API keys" if keys else "none, so the service asks for none"


def _issuer(settings: Settings) -> str:
    """How many keys tokens may be signed with, if they can be had."""
    tokens = issuer_tokens(settings.oidc)
    return f"it has {asyncio.run(tokens.count_keys())} keys" if tokens else "none"


def _database(gateway: Gateway) -> str:
    """Which Neo4j answers."""
    (row,) = gateway.run(catalogue()["report/server"])
    return f"Neo4j {row['version']} ({row['edition']}) answers"


def _schema(gateway: Gateway) -> str:
    """Whether our constraints and indexes are there, or what a mapping names."""
    if gateway.graph is not None:
        check = check_mapping(gateway, gateway.graph)
        if amiss := (*check.missing, *check.slow):
            raise QueryError(f"of [graph] {len(amiss)} things are amiss: {amiss[0]}")
        return "all that [graph] names is there, and indexes serve it"
    if lacking := missing(gateway.run(catalogue()["ingest/indexes"])):
        first = lacking[0].partition(" is not there")[0]
        others = f", and so are {len(lacking) - 1} others" if len(lacking) > 1 else ""
        raise QueryError(
            f"{first} is missing{others}: the next recsvc ingest makes what is missing"
        )
    return "every constraint and index is there"


def _versions(gateway: Gateway) -> str:
    """What is active, and how old the graph is that it was made from."""
    rows = [row for row in all_versions(gateway) if row.get("status") == "active"]
    blend = next((row for row in rows if row["model"] == HYBRID), None)
    if blend is None:
        raise RefreshError("no version of the blend is active: recsvc refresh makes one")
    if not blend.get("stored"):
        raise RefreshError("the arrays of the active version are gone: recsvc refresh makes others")
    if "graph_at" not in blend:
        raise RefreshError("how old the active version is cannot be read: recsvc refresh")
    days = (datetime.now(UTC) - datetime.fromisoformat(blend["graph_at"])).days
    if days > _OLD_DAYS:
        raise RefreshError(
            f"the active version is {days} days old: recsvc refresh makes one, and recsvc schedule "
            "does so by the clock"
        )
    names = ", ".join(f"{row['model']} {row['version']}" for row in rows)
    return f"{names}, {days} days old"


def _gibibytes(size: int) -> str:
    return f"{size / 2**30:,.1f} GiB"


_OF_THE_MACHINE: Mapping[str, Callable[[Settings], str]] = {
    "machine": _machine,
    "disk": _disk,
    "Java or Docker": _runtime,
    "ports": _ports,
    "keys": _keys,
}


def _scenarios(gateway: Gateway) -> str:
    """Whether the stored scenarios can be read."""
    stored = stored_scenarios(gateway)
    if amiss := [scenario.trouble for scenario in stored if scenario.trouble]:
        raise SettingsError(f"{'; '.join(amiss)}: recsvc scenarios put or rollback")
    return f"{len(stored)} are stored" if stored else "none is stored"


def _experiments(gateway: Gateway) -> str:
    """Whether the stored experiments can be read."""
    stored = stored_experiments(gateway.run(catalogue()["experiment/all"], **EVERY))
    if amiss := trials_of(stored).unreadable:
        raise SettingsError(f"{'; '.join(amiss.values())}: recsvc experiments put or delete")
    return f"{len(stored)} are stored" if stored else "none is stored"


_OF_THE_GRAPH: Mapping[str, Callable[[Gateway], str]] = {
    "neo4j": _database,
    "schema": _schema,
    "versions": _versions,
    "scenarios": _scenarios,
    "experiments": _experiments,
}
