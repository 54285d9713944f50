"""`make demo`: everything on this machine, from nothing to explained recommendations.

What is there is used again: the installed Neo4j, the loaded graph, the active version. All of it is
one process, which imports once; those that load and learn give back their memory when they end.
"""

import os
import subprocess
import sys

import typer

from recsvc.commands import answers, database, serving
from recsvc.commands.connecting import local_neo4j, open_gateway
from recsvc.graph.version_store import all_versions
from recsvc.settings import load_settings

_USER = "2"


def demo() -> None:
    """What `make demo` runs: the commands a person would run, in order."""
    local = local_neo4j(load_settings())
    began = not local.status().running
    try:
        database.up()
        with open_gateway(load_settings()) as gateway:
            statuses = {version["status"] for version in all_versions(gateway)}
        if not statuses:
            _run("ingest", "lastfm")
        if "active" not in statuses:
            _run("refresh", "--force")
        answers.recommend(_USER)
        if os.environ.get("DEMO_EXIT") != "1":
            _serve()
    except subprocess.CalledProcessError as error:
        raise typer.Exit(error.returncode) from None
    except KeyboardInterrupt:
        pass
    finally:
        if began:
            database.down()


def _serve() -> None:
    settings = load_settings()
    status = local_neo4j(settings).status()
    sys.stdout.write(
        f"\nrecsvc         http://127.0.0.1:{settings.port}/v1/users/{_USER}/recommendations\n"
        f"OpenAPI        http://127.0.0.1:{settings.port}/docs\n"
        f"Neo4j Browser  {status.browser_url}  "
        f"(user neo4j, password in {status.password_file})\n"
        "Ctrl-C stops all of it.\n"
    )
    sys.stdout.flush()
    serving.serve()


def _run(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "recsvc", *arguments], check=True)
