"""A Kafka of one broker, from Maven, as a local Java process."""

import hashlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from loaders.errors import LocalNeo4jError
from loaders.local_neo4j._command import run_command
from loaders.local_neo4j._java import find_java
from loaders.local_neo4j._library import find_maven
from tests.neo4j_servers import HOME
from tests.ports import free_ports
from tests.waiting import PATIENCE_SECONDS

VERSION = "4.3.1"
_JAVA_MAJOR = 17
_POM = f"""\
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>recsvc</groupId>
  <artifactId>kafka</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>{VERSION}</version>
    </dependency>
  </dependencies>
  <build>
    <pluginManagement>
      <plugins>
        <plugin>
          <groupId>org.apache.maven.plugins</groupId>
          <artifactId>maven-dependency-plugin</artifactId>
          <version>3.8.1</version>
        </plugin>
      </plugins>
    </pluginManagement>
  </build>
</project>
"""
_CONFIGURATION = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={folder}/data
num.partitions=2
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
message.max.bytes=4000000
"""
_IDENTITY = "version=1\ncluster.id=cmVjc3ZjLXRlc3RzLS0tLQ\nnode.id=1\n"
_FLAGS = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


class Broker:
    """A broker, and the folder of what it holds: killed and started again, it holds the same."""

    def __init__(self, java: Path, library: Path, folder: Path) -> None:
        self._java, self._library, self._folder = java, library, folder
        self.port, controller_port = free_ports(2)
        (folder / "data").mkdir()
        (folder / "data" / "meta.properties").write_text(_IDENTITY)
        (folder / "server.properties").write_text(
            _CONFIGURATION.format(port=self.port, controller_port=controller_port, folder=folder)
        )
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it; whoever connects waits until it answers."""
        command = [str(self._java), *_FLAGS, "-cp", f"{self._library}/*", "kafka.Kafka"]
        with (self._folder / "kafka.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "server.properties"], cwd=self._folder, stdout=log, stderr=log
            )

    def wait(self) -> None:
        """Wait until it answers."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline and self._process and self._process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        pytest.fail((self._folder / "kafka.log").read_text()[-4000:])

    def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End its process."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(PATIENCE_SECONDS)


@contextmanager
def running_broker(folder: Path) -> Generator[Broker]:
    """A broker that answers; skipped where there is no Java or no Maven.

    Args:
        folder: for what it holds.
    """
    try:
        java = find_java(_JAVA_MAJOR, run_command)
        library = _library(java.home)
    except LocalNeo4jError as error:
        pytest.skip(f"Kafka comes from Maven and runs on Java {_JAVA_MAJOR}: {error}")
    broker = Broker(java.executable, library, folder)
    broker.start()
    try:
        broker.wait()
        yield broker
    finally:
        broker.end()


def _library(java_home: Path) -> Path:
    """The jars of Kafka; the first test that wants them has Maven bring them, 44 MB."""
    digest = hashlib.sha256(_POM.encode()).hexdigest()[:8]
    target = HOME / "kafka" / f"lib-{VERSION}-{digest}"
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix="partial-", dir=target.parent))
    try:
        (partial / "pom.xml").write_text(_POM)
        command = [find_maven(), "-q", "-B", "-f", str(partial / "pom.xml")]
        command += ["dependency:copy-dependencies", "-DincludeScope=runtime"]
        done = run_command(
            [*command, f"-DoutputDirectory={partial}"],
            timeout_seconds=600,
            environment={"JAVA_HOME": str(java_home)},
        )
        assert done.succeeded, done.last_lines()
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target
