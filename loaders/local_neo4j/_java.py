"""Neo4j as a Java process of its own."""

import fcntl
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from loaders.errors import LocalNeo4jError
from loaders.local_neo4j._command import IMPORT_TIMEOUT_SECONDS, CommandResult, Runner, tail
from loaders.local_neo4j._library import Library
from loaders.local_neo4j._options import HOST, LocalNeo4jOptions
from loaders.local_neo4j._record import ServerRecord, read_record, record_path
from loaders.local_neo4j._torn_log import REPAIR_ADVICE, DebugLog

# As `java -XshowSettings:properties -version` prints them. The program on PATH may be a script
# (jenv, asdf, sdkman), so its own place says nothing of Java's.
_JAVA_HOME = re.compile(r"^\s*java\.home = (.+)$", re.MULTILINE)
_JAVA_MAJOR = re.compile(r"^\s*java\.specification\.version = (?:1\.)?(\d+)", re.MULTILINE)
_JVM_FOLDER = Path("/usr/lib/jvm")
_VERSION_TIMEOUT_SECONDS = 30.0
_KILL_TIMEOUT_SECONDS = 10.0
_RECORD_TIMEOUT_SECONDS = 3.0

_ADMIN_CLASS = "org.neo4j.cli.AdminTool"
_OPENED_PACKAGES = ("java.nio", "java.io", "sun.nio.ch", "java.util.concurrent")
_JVM_FLAGS = (
    "-XX:+UseG1GC",
    # A server that ran out of memory once cannot be relied on: better that it ends.
    "-XX:+ExitOnOutOfMemoryError",
    "-Dfile.encoding=UTF-8",
    "-Djdk.nio.maxCachedBufferSize=1024",
    "-Dio.netty.tryReflectionSetAccessible=true",
    *(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPENED_PACKAGES),
    "--enable-native-access=ALL-UNNAMED",
)

# The outer shell puts the server in the background and ends, so the server is nobody's child and
# leaves no zombie. The inner one writes its own process id before it becomes Java: there is no
# instant at which the server runs and nobody knows its id.
_DETACH = '"$@" &'
_RECORD_AND_RUN = 'printf "$1" "$$" >"$0" && shift && exec "$@"'

_CONFIGURATION = """\
# Written by recsvc at each start of Neo4j: changes made here are lost.
server.default_listen_address={host}
server.bolt.enabled=true
server.bolt.listen_address={host}:{bolt_port}
server.bolt.advertised_address={host}:{bolt_port}
server.http.enabled=true
server.http.listen_address={host}:{http_port}
server.http.advertised_address={host}:{http_port}
server.https.enabled=false
server.memory.heap.max_size={heap_megabytes}m
server.memory.pagecache.size={page_cache_megabytes}m
# The HTTP API allows every origin: without a password any web page could read the graph.
dbms.security.auth_enabled=true
dbms.usage_report.enabled=false
server.databases.default_to_read_only={read_only}
# A reader of the graph may run LOAD CSV: it reads no file of this machine, which may hold
# passwords, and asks no address of this machine or of a private net.
dbms.security.allow_csv_import_from_file_urls=false
server.directories.import=load-csv
internal.dbms.cypher_ip_blocklist=0.0.0.0/8,10.0.0.0/8,100.64.0.0/10,127.0.0.0/8,169.254.0.0/16,172.16.0.0/12,192.168.0.0/16,::/128,::1/128,fc00::/7,fe80::/10
db.tx_log.rotation.retention_policy=256M size
db.tx_log.rotation.size=64m
# `recsvc db up --repair` says false, for one start.
internal.dbms.tx_log.fail_on_corrupted_log_files={fail_on_torn_log}
# At its default this wait, which begins when the databases are closed, makes each stop 10 s long.
internal.server.bolt.thread_pool_shutdown_wait_time=1s
"""


@dataclass(frozen=True, slots=True)
class Java:
    """A Java that can run programs.

    Attributes:
        home: what JAVA_HOME is to be for it.
        major: its version, such as 17.
    """

    home: Path
    major: int

    @property
    def executable(self) -> Path:
        """The `java` program."""
        return self.home / "bin" / "java"


def find_java(minimum: int, run: Runner, jvm_folder: Path = _JVM_FOLDER) -> Java:
    """Find a Java: by JAVA_HOME, then on PATH, then below `jvm_folder`.

    Args:
        minimum: the oldest version that will do.
        run: asks each one for its version.
        jvm_folder: where Linux distributions put theirs.

    Raises:
        LocalNeo4jError: there is none, or each one is too old.
    """
    too_old: Java | None = None
    for executable in _java_candidates(jvm_folder):
        java = _ask(executable, run)
        if java and java.major >= minimum:
            return java
        too_old = too_old or java
    why_not = f"Java {too_old.major} in {too_old.home} is too old" if too_old else "no Java found"
    raise LocalNeo4jError(
        f"{why_not}, Neo4j needs Java {minimum} or newer: install it "
        f"(apt-get install openjdk-{minimum}-jre-headless, dnf install "
        f"java-{minimum}-openjdk-headless, brew install openjdk@{minimum}) or set JAVA_HOME, "
        "or start a Docker engine with Compose"
    )


def _java_candidates(jvm_folder: Path) -> Iterator[Path]:
    if java_home := os.environ.get("JAVA_HOME"):
        yield Path(java_home, "bin", "java")
    if on_path := shutil.which("java"):
        yield Path(on_path)
    yield from sorted(jvm_folder.glob("*/bin/java"))


def _ask(executable: Path, run: Runner) -> Java | None:
    command = [str(executable), "-XshowSettings:properties", "-version"]
    output = run(command, timeout_seconds=_VERSION_TIMEOUT_SECONDS).output
    home, major = _JAVA_HOME.search(output), _JAVA_MAJOR.search(output)
    return Java(home=Path(home[1].strip()), major=int(major[1])) if home and major else None


class JavaServer:
    """The Neo4j that runs as a Java process, in one folder.

    The process itself holds a lock on `server.lock` for as long as it lives: it inherits the open
    file. So whether it lives is known for certain, and a process id that was given to another
    program since is never taken for it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = folder / "server.lock"
        self._console = folder / "logs" / "console.log"

    def alive(self) -> bool:
        """Whether the process lives."""
        try:
            handle = self._lock.open("rb")
        except FileNotFoundError:
            return False
        with handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def record(self) -> ServerRecord | None:
        """The living server's record, or None when none lives.

        Raises:
            LocalNeo4jError: one lives and its record is gone.
        """
        deadline = time.monotonic() + _RECORD_TIMEOUT_SECONDS
        while self.alive():
            late = time.monotonic() > deadline  # it may be paused after it has read
            record = read_record(self._folder)
            if record and record.how == "java":
                return record
            if late:
                raise LocalNeo4jError(
                    f"a Neo4j runs from {self._folder} but {record_path(self._folder).name} there "
                    f"is gone or cut off: end its java process{self._seen_pids()} by hand"
                )
            time.sleep(0.02)
        return None

    def start(self, java: Java, library: Library, options: LocalNeo4jOptions) -> ServerRecord:
        """Start the process and return at once. None may live.

        Raises:
            LocalNeo4jError: it died before it was Java.
        """
        self._write_configuration(options)
        record_path(self._folder).unlink(missing_ok=True)
        if self._console.exists():
            self._console.replace(self._console.with_suffix(".previous.log"))
        format_ = ServerRecord(
            "java", options.bolt_port, options.http_port, library.version
        ).to_printf_format()
        command = ["/bin/sh", "-c", _DETACH, "sh"]
        command += ["/bin/sh", "-c", _RECORD_AND_RUN, str(record_path(self._folder)), format_]
        self._launch(command + self._java_command(java, library, options))
        record = self.record()
        if record is None:
            raise self.death()
        return record

    def administer(
        self,
        java: Java,
        library: Library,
        options: LocalNeo4jOptions,
        run: Runner,
        told: Sequence[str],
        folder: Path,
        lock: int,
    ) -> CommandResult:
        """Run `neo4j-admin database …` on the data. The server may not live.

        Args:
            java: the Java to run it with.
            library: the jars.
            options: how the server would be started.
            run: runs it.
            told: what comes after `database`.
            folder: where it runs: files are named as they are in there.
            lock: an open file that the process inherits.
        """
        self._write_configuration(options)
        # Relative, as for the server.
        jars = os.path.relpath(library.folder, folder)
        return run(
            [
                *(str(java.executable), f"-Xmx{options.heap_megabytes}m", *_JVM_FLAGS),
                *("-cp", f"{jars}/*", _ADMIN_CLASS, "database", *told),
            ],
            timeout_seconds=IMPORT_TIMEOUT_SECONDS,
            environment={
                "NEO4J_HOME": str(self._folder),
                "NEO4J_CONF": str(self._folder / "conf"),
                "LC_ALL": "C.UTF-8",
            },
            folder=folder,
            kept_open=[lock],
        )

    def _write_configuration(self, options: LocalNeo4jOptions) -> None:
        conf = self._folder / "conf"
        conf.mkdir(exist_ok=True)
        text = _CONFIGURATION.format(
            host=HOST,
            bolt_port=options.bolt_port,
            http_port=options.http_port,
            heap_megabytes=options.heap_megabytes,
            page_cache_megabytes=options.page_cache_megabytes,
            read_only=str(options.read_only).lower(),
            fail_on_torn_log=str(not options.repair).lower(),
        )
        (conf / "neo4j.conf").write_text(text, encoding="utf-8")

    def _java_command(self, java: Java, library: Library, options: LocalNeo4jOptions) -> list[str]:
        # Relative to the folder it is started in: a colon in its path would cut a class path.
        jars = library.folder.relative_to(self._folder)
        return [
            *(str(java.executable), f"-Xmx{options.heap_megabytes}m", *_JVM_FLAGS),
            *("-cp", f"{jars}:{jars}/*", library.main_class, self._home_argument),
            *(f"--config-dir={self._folder / 'conf'}", "--console-mode"),
        ]

    @property
    def _home_argument(self) -> str:
        return f"--home-dir={self._folder}"

    def _launch(self, command: list[str]) -> None:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("RECSVC_")}
        with self._lock.open("ab") as lock, self._console.open("wb") as console:
            fcntl.flock(lock, fcntl.LOCK_EX)
            subprocess.run(
                command,
                cwd=self._folder,
                # Without UTF-8 Java cannot open a path that has other letters than ASCII's.
                env=environment | {"LC_ALL": "C.UTF-8"},
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                pass_fds=(lock.fileno(),),
                start_new_session=True,
                check=True,
            )

    def stop(self, timeout_seconds: float) -> None:
        """Stop the process: ask it, and kill it when it has not ended within the timeout.

        Raises:
            LocalNeo4jError: it cannot be stopped.
        """
        for number, patience in (
            (signal.SIGTERM, timeout_seconds),
            (signal.SIGKILL, _KILL_TIMEOUT_SECONDS),
        ):
            record = self.record()
            if record is None or record.pid is None:
                break
            self._signal(record.pid, number)
            if _wait_until(lambda: not self.alive(), patience):
                break
        else:
            raise LocalNeo4jError(f"the Neo4j in {self._folder} does not end, not even by SIGKILL")
        record_path(self._folder).unlink(missing_ok=True)

    def _seen_pids(self) -> str:
        """The numbers of the processes that run from here, where Linux tells them."""
        pids: list[str] = []
        for command_line in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                if os.fsencode(self._home_argument) in command_line.read_bytes().split(b"\0"):
                    pids.append(command_line.parent.name)
        return "".join(f" {pid}" for pid in pids)

    def _signal(self, pid: int, number: signal.Signals) -> None:
        command_line = Path(f"/proc/{pid}/cmdline")
        with suppress(FileNotFoundError, ProcessLookupError):
            # The lock says that the server lives. Where its folder is shared between containers
            # its process id can mean another program here; Linux can tell.
            if command_line.exists() and (
                os.fsencode(self._home_argument) not in command_line.read_bytes().split(b"\0")
            ):
                raise LocalNeo4jError(
                    f"process {pid} is not the Neo4j that runs from {self._folder}: stop that one "
                    "in the container it was started in"
                )
            os.kill(pid, number)

    def death(self) -> LocalNeo4jError:
        """The error that says why the process ended, from the end of what it printed."""
        text = self._console.read_text(encoding="utf-8", errors="replace")
        if DebugLog.read(self._console.parent).is_torn(text):
            return LocalNeo4jError(
                f"Neo4j ended while it started, see {self._console} and debug.log beside it: "
                f"{REPAIR_ADVICE}"
            )
        return LocalNeo4jError(
            f"Neo4j ended while it started, see {self._console} and debug.log beside it; "
            f"its last lines:\n{tail(text, 20)}"
        )


def _wait_until(condition: Callable[[], bool], timeout_seconds: float) -> bool:
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
