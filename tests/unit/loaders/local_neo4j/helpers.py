"""What the tests of the local Neo4j share: programs that are none, and a recording runner."""

import json
import subprocess
import zipfile
from contextlib import contextmanager

import psutil

from loaders.local_neo4j import LocalNeo4j, LocalNeo4jOptions
from loaders.local_neo4j._command import NOT_FOUND, CommandResult, run_command
from tests.ports import free_ports
from tests.waiting import PATIENCE_SECONDS, until

SECRET = "a-secret-of-tests"
DIES = """
echo "2026-01-01 INFO  Starting..."
echo "2026-01-01 ERROR Failed to start Neo4j: the store is from the future"
echo "	at org.neo4j.server.Main.main(Main.java:1)"
exit 3
"""
SLEEPS = "while :; do /bin/sleep 0.1; done"


class RecordingRunner:
    """Runs everything for real, but answers for Docker by itself; keeps what was asked."""

    def __init__(self, docker=None):
        self.docker = {"info": NOT_FOUND, "version": NOT_FOUND} | (docker or {})
        self.calls = []

    def __call__(self, command, *, environment=None, **how):
        self.calls.append((list(command), dict(environment or {})))
        if command[0] != "docker":
            return run_command(command, environment=environment, **how)
        answer = next(self.docker[word] for word in command if word in self.docker)
        return answer if isinstance(answer, CommandResult) else CommandResult(answer)

    def compose_calls(self):
        """(arguments after the project, environment) of each `docker compose` of this project."""
        return [(c[6:], e) for c, e in self.calls if c[:2] == ["docker", "compose"] and "-p" in c]


ENGINE = {
    "info": CommandResult(0, '["name=seccomp,profile=builtin"]'),
    "version": 0,
    "up": 0,
    "down": 0,
    "logs": CommandResult(0, "the container's own words"),
    "ps": CommandResult(0, "0123456789ab\n"),
}


def write_program(path, body):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def make_java(home, version, body="exit 0"):
    return write_program(
        home / "bin" / "java",
        'if [ "$1" = "-XshowSettings:properties" ]; then\n'
        f'  echo "    java.home = {home}"\n'
        f'  echo "    java.specification.version = {version}"\n'
        "  exit 0\n"
        f"fi\n{body}",
    )


def make_server_jar(path, main_class="org.neo4j.server.CommunityEntryPoint", class_format=61):
    with zipfile.ZipFile(path, "w") as jar:
        jar.writestr("META-INF/MANIFEST.MF", "Implementation-Version: 5.26.31\r\n")
        jar.writestr("META-INF/services/org.neo4j.server.startup.EntryPoint", f"{main_class}\n")
        jar.writestr(
            f"{main_class.replace('.', '/')}.class",
            b"\xca\xfe\xba\xbe\x00\x00" + class_format.to_bytes(2, "big"),
        )


def options_for(home, **changes):
    bolt_port, http_port = free_ports(2)
    values = {
        "bolt_port": bolt_port,
        "http_port": http_port,
        "start_timeout_seconds": PATIENCE_SECONDS,
    }
    return LocalNeo4jOptions(home=home, **(values | changes))


def local(home, run=None, **changes):
    return LocalNeo4j(options_for(home, **changes), run or RecordingRunner())


@contextmanager
def stranger():
    """A process that is none of ours."""
    process = subprocess.Popen(["/bin/sleep", "3600"])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def has_ended(pid):
    """Whether a process is over, be it that nobody has collected it yet."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_for(condition):
    until(condition)


def write_record(home, pid, how="java"):
    folder = home / "neo4j"
    folder.mkdir(parents=True, exist_ok=True)
    record = {"how": how, "bolt_port": 1, "http_port": 2, "version": "x", "pid": pid}
    (folder / "server.json").write_text(json.dumps(record))
