"""`LocalNeo4j`: start, stop and find the Neo4j on this machine."""

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from loaders.errors import (
    LocalNeo4jError,
    Neo4jAwayError,
    Neo4jError,
    Neo4jUnavailableError,
)
from loaders.gateway import Neo4jAddress
from loaders.local_neo4j._command import CommandResult, Progress, Runner, run_command
from loaders.local_neo4j._credentials import PasswordFile, log_in
from loaders.local_neo4j._database import (
    await_database,
    await_http,
    broken_database,
    database_state,
)
from loaders.local_neo4j._docker import DockerServer
from loaders.local_neo4j._folder import exclusive, file_errors
from loaders.local_neo4j._java import Java, JavaServer, find_java
from loaders.local_neo4j._library import (
    Library,
    find_maven,
    install_library,
    library_folder,
    read_library,
)
from loaders.local_neo4j._options import HOST, LocalNeo4jOptions, check_disk, check_port
from loaders.local_neo4j._record import ServerRecord, read_record, record_path
from loaders.local_neo4j._status import LocalNeo4jStatus
from loaders.local_neo4j._torn_log import DebugLog
from loaders.local_neo4j._versions import check_data_version, neo4j_version, write_data_version

_FIRST_START_MEGABYTES = 1024
_LATER_START_MEGABYTES = 256
# The oldest Java that any Neo4j of ours takes. Its jars say what they need once they are here.
_OLDEST_JAVA = 17
_STOP_AFTER_FAILURE_SECONDS = 20.0
_STOP_FOR_IMPORT_SECONDS = 60.0
# There for as long as the graph is being loaded, and afterwards where that was cut off.
_HALF_LOADED = "half-loaded"

Administer = Callable[..., CommandResult]
"""Runs `neo4j-admin database` with some arguments, in a folder, with the lock inherited."""


class LocalNeo4j:
    """The Neo4j on this machine that belongs to one home folder.

    Args:
        options: where and how it runs.
        run: runs Docker, Maven and `java -version`; tests pass a recording.
    """

    def __init__(self, options: LocalNeo4jOptions, run: Runner = run_command) -> None:
        self._options = options
        self._folder = options.folder
        self._run = run
        self._java = JavaServer(self._folder)
        self._docker = DockerServer(options, run)
        self._password_file = PasswordFile(self._folder / "password")

    def up(
        self, progress: Progress = lambda _message: None, *, repair: bool = False
    ) -> Neo4jAddress:
        """Start the server unless it runs, and wait until its database answers.

        Args:
            progress: told, in a few words, what is being done.
            repair: start it anew, and have it cut off a torn end of the transaction log, as a
                full disk leaves one. What was committed and stands before it stays; `progress` is
                told what was lost. Then it is started once more, as at any other time.

        Returns:
            The address of the server that runs, which keeps the ports it was started with.

        Raises:
            LocalNeo4jError: it cannot be installed or started, its graph is half loaded, or its
                database is broken; the message says what to do. What this call started is stopped.
        """
        with exclusive(self._folder, progress), file_errors(self._folder):
            self._refuse_half_loaded()
            if not repair:
                return self._ensure_up(progress)
            if record := self._running():
                progress("stopping Neo4j for the repair")
                self._stop(record, _STOP_FOR_IMPORT_SECONDS)
            repairing = LocalNeo4j(self._options.repairing(), self._run)
            repairing._ensure_up(progress)
            progress(DebugLog.read(self._folder / "logs").cut_off())
            if record := self._running():
                self._stop(record, _STOP_FOR_IMPORT_SECONDS)
            return self._ensure_up(progress)

    @contextmanager
    def loading(
        self, files: Path, told: Sequence[str], progress: Progress = lambda _message: None
    ) -> Generator[Neo4jAddress]:
        """Replace the graph by what files hold, with the block's work as the end of that.

        `neo4j-admin database` does it, which needs the server stopped; it runs again in the block.
        Until the block has ended well the graph counts as half loaded: no other command is given
        its address, and none starts it, whatever ends this process.

        Args:
            files: the folder of the files, of which nothing is changed.
            told: what comes after `database`; each file is named by its path in `files`.
            progress: told, in a few words, what is being done.

        Yields:
            The address of the server, for this block only.

        Raises:
            LocalNeo4jError: it failed, or the server cannot be stopped or started.
        """
        marker = self._folder / _HALF_LOADED
        with exclusive(self._folder, progress) as lock:
            with file_errors(self._folder):
                administer = self._administrator(progress)
                record = self._running()
                if record:
                    progress("stopping Neo4j")
                    self._stop_whole(record)
                marker.touch()
                progress("loading the graph")
                administer(told, files, lock).require(f"{told[0]} the files in {files}")
                address = self._where_it_was(record)._ensure_up(progress)
            yield address
            with file_errors(self._folder):
                marker.unlink()

    @contextmanager
    def stopped(self, progress: Progress = lambda _message: None) -> Generator[Administer]:
        """Work on the data while no server runs; one that ran is started again, on its ports.

        Args:
            progress: told, in a few words, what is being done.

        Yields:
            What runs `neo4j-admin database …`.

        Raises:
            LocalNeo4jError: the server cannot be stopped or started.
        """
        with exclusive(self._folder, progress) as lock:
            with file_errors(self._folder):
                self._refuse_half_loaded()
                administer = self._administrator(progress)
                record = self._running()
            try:
                if record:
                    progress("stopping Neo4j")
                    with file_errors(self._folder):
                        self._stop_whole(record)
                yield partial(administer, lock=lock)
            finally:
                if record:
                    with file_errors(self._folder):
                        self._where_it_was(record)._ensure_up(progress)

    @property
    def folder(self) -> Path:
        """The folder of everything that the server keeps."""
        return self._folder

    @property
    def read_only(self) -> bool:
        """Whether it is a copy, whose graph nobody changes."""
        return self._options.read_only

    @property
    def half_loaded(self) -> bool:
        """Whether loading it was cut off, so that the graph can only be loaded again."""
        return (self._folder / _HALF_LOADED).exists()

    @property
    def has_data(self) -> bool:
        """Whether a server has been here before; without one the graph is empty."""
        return (self._folder / "data" / "databases").is_dir()

    @property
    def _has_accounts(self) -> bool:
        """Whether a server has been here before that keeps its password in the data."""
        return (self._folder / "data" / "databases" / "system").is_dir()

    def down(self, timeout_seconds: float = 60.0) -> bool:
        """Stop the server and wait until it has ended.

        Args:
            timeout_seconds: how long it may take to write what it holds; then it is killed, which
                loses nothing that was committed.

        Returns:
            Whether it was running.

        Raises:
            LocalNeo4jError: it cannot be stopped.
        """
        with file_errors(self._folder):
            if not self._folder.is_dir():
                return False
            with exclusive(self._folder):
                record = self._running()
                if record is None:
                    record_path(self._folder).unlink(missing_ok=True)
                    return False
                self._stop(record, timeout_seconds)
                return True

    def check_ports(self) -> None:
        """Make sure that a server that does not run yet can listen.

        Raises:
            LocalNeo4jError: a port is taken, or this user may not use it.
        """
        check_port(self._options.bolt_port, "RECSVC_BOLT_PORT")
        check_port(self._options.http_port, "RECSVC_HTTP_PORT")

    def runtime(self) -> str:
        """What would run the server, in words; nothing is installed for that.

        Raises:
            LocalNeo4jError: there is neither a Docker engine nor a Java that it takes, or its jars
                are not there and neither is Maven.
        """
        if self._docker.available():
            return "a Docker engine"
        java = find_java(_OLDEST_JAVA, self._run)
        with file_errors(self._folder):
            library = library_folder(self._folder, self._options.version)
            if not library.is_dir():
                return f"Java {java.major} in {java.home}, and Maven in {find_maven()}"
            java = find_java(read_library(library).java_major, self._run)
        return f"Java {java.major} in {java.home}"

    def status(self) -> LocalNeo4jStatus:
        """What is known of the server, without waiting for anybody.

        Raises:
            LocalNeo4jError: a server lives and nothing is known of it.
        """
        with file_errors(self._folder):
            record = self._running()
        home, password_file = self._folder.parent, self._password_file.path
        if record is None:
            return LocalNeo4jStatus(running=False, home=home, password_file=password_file)
        return LocalNeo4jStatus(
            running=True,
            home=home,
            password_file=password_file,
            how=record.how,
            pid=record.pid,
            uri=_uri(record),
            browser_url=f"http://{HOST}:{record.http_port}/browser/",
            version=record.version,
        )

    def database(self) -> str:
        """What the running server says of its database, over Bolt, in a few words."""
        try:
            return database_state(self.address()).said
        except (Neo4jAwayError, LocalNeo4jError) as error:
            return f"does not answer: {error}"

    def address(self, *, stopped: bool = False) -> Neo4jAddress:
        """The address of the running server.

        Args:
            stopped: also of one that ran here and is stopped: where the next start puts it.

        Raises:
            Neo4jUnavailableError: none runs.
            LocalNeo4jError: one runs and its password is not known, or its graph is half loaded.
        """
        self._refuse_half_loaded()
        with file_errors(self._folder):
            record = self._running()
            last_password = self._password_file.read()
        password = self._options.password or last_password
        if record is None and stopped and last_password and password:
            return Neo4jAddress(_uri(self._options), self._options.user, password)
        if record is None:
            raise Neo4jUnavailableError(
                f"no Neo4j runs from {self._folder}: start one with `recsvc db up`, or set "
                "RECSVC_NEO4J_URI"
            )
        if password is None:
            raise LocalNeo4jError(
                f"{self._password_file.path} is gone, which held the password of the local Neo4j: "
                "set RECSVC_NEO4J_PASSWORD"
            )
        return self._address(record, password)

    def _ensure_up(self, progress: Progress) -> Neo4jAddress:
        stored = self._password_file.read()
        if not stored and not self._options.password and self._has_accounts:
            raise LocalNeo4jError(
                f"{self._password_file.path} is gone or empty, and the data in {self._folder} keep "
                "the password that it held: put it back, or set RECSVC_NEO4J_PASSWORD to it"
            )
        password = self._options.password or self._password_file.read_or_make()
        running = self._running()
        record = running or self._start(password, progress)
        address = self._address(record, password)
        try:
            self._wait(record, address, stored)
        except Neo4jError:
            if not running:
                self._stop(record, _STOP_AFTER_FAILURE_SECONDS)
            raise
        write_data_version(self._folder, record.version)
        if password != stored:
            self._password_file.write(password)
        return address

    def _refuse_half_loaded(self) -> None:
        if self.half_loaded:
            raise LocalNeo4jError(
                f"the graph in {self._folder} is half loaded, `recsvc ingest --bulk` or `recsvc "
                "restore` was cut off: run the same command again, or remove data and "
                f"{_HALF_LOADED} there, and the graph is empty"
            )

    def _administrator(self, progress: Progress) -> Administer:
        """What runs `neo4j-admin`: everything it needs is there, and nothing has been changed."""
        check_data_version(self._folder, neo4j_version(self._options.version))
        for name in ("data", "logs"):
            (self._folder / name).mkdir(exist_ok=True)
        if self._docker.available():
            return self._docker.administer
        java, library = self._prepared_java(progress)
        return partial(self._java.administer, java, library, self._options, self._run)

    def _address(self, record: ServerRecord, password: str) -> Neo4jAddress:
        return Neo4jAddress(_uri(record), self._options.user, password)

    def _where_it_was(self, record: ServerRecord | None) -> "LocalNeo4j":
        """The same on the ports of a server that ran."""
        if record is None:
            return self
        ports = {"bolt_port": record.bolt_port, "http_port": record.http_port}
        return LocalNeo4j(replace(self._options, **ports), self._run)

    def _running(self) -> ServerRecord | None:
        if record := self._java.record():
            return record
        record = read_record(self._folder)
        return record if record and record.how == "docker" and self._docker.alive() else None

    def _start(self, password: str, progress: Progress) -> ServerRecord:
        for name in ("data", "logs"):
            (self._folder / name).mkdir(exist_ok=True)
        self.check_ports()
        check_data_version(self._folder, neo4j_version(self._options.version))
        started_before = any((self._folder / "data").iterdir())
        check_disk(
            self._folder, _LATER_START_MEGABYTES if started_before else _FIRST_START_MEGABYTES
        )
        if self._docker.available():
            progress(f"starting Neo4j in Docker on port {self._options.bolt_port}")
            return self._docker.start(password)
        return self._start_java(progress)

    def _start_java(self, progress: Progress) -> ServerRecord:
        java, library = self._prepared_java(progress)
        progress(
            f"starting Neo4j {library.version} with Java {java.major} "
            f"on port {self._options.bolt_port}"
        )
        return self._java.start(java, library, self._options)

    def _prepared_java(self, progress: Progress) -> tuple[Java, Library]:
        """The jars, installed if need be, and a Java that can run them."""
        java = find_java(_OLDEST_JAVA, self._run)
        library = install_library(
            self._folder, self._options.version, java.home, self._run, progress
        )
        if java.major < library.java_major:
            java = find_java(library.java_major, self._run)
        return java, library

    def _wait(self, record: ServerRecord, address: Neo4jAddress, last_password: str | None) -> None:
        """Wait until Bolt takes the log-in, and HTTP answers.

        HTTP is the last that comes. Until then the server takes a request to stop for an order to
        drop everything, and has to recover at its next start.
        """
        timeout_seconds = self._options.start_timeout_seconds
        deadline = time.monotonic() + timeout_seconds
        alive = self._java.alive if record.how == "java" else lambda: True
        answers = log_in(
            address, last_password=last_password, timeout_seconds=timeout_seconds, alive=alive
        )
        if answers and await_http(record.http_port, deadline, alive):
            state = await_database(address, deadline, alive)
            if not state.answers:
                raise broken_database(self._folder, state)
            return
        if not alive():
            raise self._java.death()
        raise LocalNeo4jError(
            f"Neo4j at {address.shown} did not answer within {timeout_seconds:g} s: see "
            f"{self._folder / 'logs'}, or allow it more with RECSVC_NEO4J_START_TIMEOUT_SECONDS"
        )

    def _stop(self, record: ServerRecord, timeout_seconds: float) -> None:
        server = self._java if record.how == "java" else self._docker
        server.stop(timeout_seconds)

    def _stop_whole(self, record: ServerRecord) -> None:
        """Stop it, also where Ctrl-C comes meanwhile: who starts it again is to find none."""
        try:
            self._stop(record, _STOP_FOR_IMPORT_SECONDS)
        except KeyboardInterrupt:
            self._stop(record, _STOP_FOR_IMPORT_SECONDS)
            raise


def _uri(server: ServerRecord | LocalNeo4jOptions) -> str:
    return f"bolt://{HOST}:{server.bolt_port}"
