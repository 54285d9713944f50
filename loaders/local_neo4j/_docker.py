"""Neo4j in Docker, by `docker-compose.yml`."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from loaders.errors import LocalNeo4jError
from loaders.local_neo4j._command import IMPORT_TIMEOUT_SECONDS, CommandResult, Runner
from loaders.local_neo4j._options import LocalNeo4jOptions
from loaders.local_neo4j._record import ServerRecord, record_path
from loaders.local_neo4j._versions import neo4j_version
from loaders.shared_files import shared_path

_PROBE_TIMEOUT_SECONDS = 5.0
_PULL_TIMEOUT_SECONDS = 1800.0
_SECURITY_OPTIONS = ["docker", "info", "--format", "{{json .SecurityOptions}}"]
_ROOT = "0:0"


class DockerServer:
    """The Neo4j that runs in Docker, for one set of options."""

    def __init__(self, options: LocalNeo4jOptions, run: Runner) -> None:
        self._options = options
        self._run = run
        self._version = neo4j_version(options.version)

    def available(self) -> bool:
        """Whether a Docker engine answers and has Compose."""
        probes = (_SECURITY_OPTIONS, ["docker", "compose", "version"])
        return all(
            self._run(probe, timeout_seconds=_PROBE_TIMEOUT_SECONDS).succeeded for probe in probes
        )

    def alive(self) -> bool:
        """Whether the container runs."""
        result = self._compose("ps", "--status", "running", "--quiet", "neo4j")
        return result.succeeded and bool(result.output.strip())

    def start(self, password: str) -> ServerRecord:
        """Start the container and wait until it is healthy.

        Args:
            password: what a new server is to take.

        Raises:
            LocalNeo4jError: the password cannot be used here, or Docker failed.
        """
        if "/" in password:
            raise LocalNeo4jError(
                "Neo4j's Docker image takes no password with a slash: set another "
                "RECSVC_NEO4J_PASSWORD"
            )
        options = self._options
        record = ServerRecord("docker", options.bolt_port, options.http_port, self._version)
        # Before the container is there: a start that is cut off leaves none that nobody knows.
        record_path(options.folder).write_text(record.to_json(), encoding="utf-8")
        result = self._compose(
            *("up", "--detach", "--wait", "neo4j"), environment=self._start_environment(password)
        )
        if not result.succeeded:
            logs = self._compose("logs", "--no-log-prefix", "--tail", "20", "neo4j")
            self._compose("down", "--timeout", "0")
            record_path(options.folder).unlink(missing_ok=True)
            raise LocalNeo4jError(
                f"Docker could not start Neo4j (exit code {result.exit_code}); its last lines:\n"
                f"{result.last_lines()}\n{logs.last_lines()}".rstrip()
            )
        return record

    def stop(self, timeout_seconds: float) -> None:
        """Stop and remove the container; the data folder stays.

        Raises:
            LocalNeo4jError: Docker failed.
        """
        result = self._compose("down", "--timeout", f"{timeout_seconds:.0f}")
        if not result.succeeded:
            raise LocalNeo4jError(
                f"Docker could not stop Neo4j (exit code {result.exit_code}); its last lines:\n"
                f"{result.last_lines()}"
            )
        record_path(self._options.folder).unlink(missing_ok=True)

    def administer(self, told: Sequence[str], folder: Path, lock: int) -> CommandResult:
        """Run `neo4j-admin database …` in a container of its own. None may run.

        Args:
            told: what comes after `database`; files are named as they are in `folder`.
            folder: where it runs.
            lock: an open file that the command inherits.
        """
        # The server's user in its container reads them and writes its report beside them;
        # nobody else gets into our folder.
        folder.chmod(0o777)
        return self._compose(
            *("run", "--rm", "--no-deps", "--volume", f"{folder}:/import", "--workdir", "/import"),
            *("neo4j", "neo4j-admin", "database", *told),
            environment=self._start_environment("unused"),
            timeout_seconds=IMPORT_TIMEOUT_SECONDS,
            kept_open=[lock],
        )

    def _compose(
        self,
        *arguments: str,
        environment: dict[str, str] | None = None,
        timeout_seconds: float = _PULL_TIMEOUT_SECONDS,
        kept_open: Sequence[int] = (),
    ) -> CommandResult:
        project = f"recsvc-{hashlib.sha256(os.fsencode(self._options.folder)).hexdigest()[:8]}"
        file = shared_path("docker-compose.yml")
        return self._run(
            ["docker", "compose", "-f", os.fspath(file), "-p", project, *arguments],
            timeout_seconds=timeout_seconds,
            # Compose wants every variable of the file at every command, used or not.
            environment={
                "RECSVC_NEO4J_PASSWORD": "unused",
                "RECSVC_NEO4J_VERSION": self._version,
                **(environment or {}),
            },
            kept_open=kept_open,
        )

    def _start_environment(self, password: str) -> dict[str, str]:
        options = self._options
        return {
            "RECSVC_HOME": str(options.folder.parent),
            "RECSVC_BOLT_PORT": str(options.bolt_port),
            "RECSVC_HTTP_PORT": str(options.http_port),
            "RECSVC_NEO4J_PASSWORD": password,
            "RECSVC_NEO4J_HEAP_MEGABYTES": str(options.heap_megabytes),
            "RECSVC_NEO4J_PAGE_CACHE_MEGABYTES": str(options.page_cache_megabytes),
            "RECSVC_NEO4J_CONTAINER_USER": self._container_user(),
            "RECSVC_NEO4J_READ_ONLY": str(options.read_only).lower(),
            "RECSVC_NEO4J_FAIL_ON_TORN_LOG": str(not options.repair).lower(),
        }

    def _container_user(self) -> str:
        """Who the server is in its container: the person, so that its files belong to them.

        An engine without root (rootless Docker) gives that id to somebody else. There the
        container begins as root, and the image hands the folders to its own user.
        """
        info = self._run(_SECURITY_OPTIONS, timeout_seconds=_PROBE_TIMEOUT_SECONDS)
        return _ROOT if "rootless" in info.output else f"{os.getuid()}:{os.getgid()}"
