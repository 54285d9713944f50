"""`make demo`: everything on this machine, from nothing to explained recommendations.

What is there is used again: the installed Neo4j, the loaded graph, the active version.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson

from recsvc.commands._shared import end_as_by_ctrl_c
from recsvc.settings import load_settings

_USER = "2"


def main() -> int:
    """Run the commands a person would run, in order; returns the exit code."""
    end_as_by_ctrl_c()
    began = not _json("db", "status")["running"]
    try:
        _run("db", "up")
        if not _json("versions")["versions"]:
            _run("ingest", "lastfm")
        if not any(version["status"] == "active" for version in _json("versions")["versions"]):
            _run("refresh", "--force")
        _run("recommend", _USER)
        if os.environ.get("DEMO_EXIT") != "1":
            _serve()
    except subprocess.CalledProcessError as error:
        return error.returncode
    except KeyboardInterrupt:
        pass
    finally:
        if began:
            _run("db", "down")
    return 0


def _serve() -> None:
    status = _json("db", "status")
    port = load_settings().port
    sys.stdout.write(
        f"\nrecsvc         http://127.0.0.1:{port}/v1/users/{_USER}/recommendations\n"
        f"OpenAPI        http://127.0.0.1:{port}/docs\n"
        f"Neo4j Browser  {status['browser_url']}  "
        f"(user neo4j, password in {status['password_file']})\n"
        "Ctrl-C stops all of it.\n"
    )
    sys.stdout.flush()
    _run("serve")


def _run(*arguments: str) -> None:
    subprocess.run([_command(), *arguments], check=True)


def _json(*arguments: str) -> dict[str, Any]:
    answer = subprocess.run([_command(), *arguments, "--json"], check=True, stdout=subprocess.PIPE)
    document: dict[str, Any] = orjson.loads(answer.stdout)
    return document


def _command() -> str:
    return str(Path(sys.executable).with_name("recsvc"))


if __name__ == "__main__":
    sys.exit(main())
