"""A Spark session, and Neo4j's connector, which Maven brings."""

import hashlib
import importlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from loaders.errors import EngineError, LocalNeo4jError
from loaders.local_neo4j._command import Runner, run_command
from loaders.local_neo4j._java import find_java
from loaders.shared_files import shared_path

_JAVA = 17
_MAVEN_TIMEOUT_SECONDS = 600.0
_SETTINGS = {
    # A page without a password, on all addresses of the machine.
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
}


@contextmanager
def spark_session(home: Path, tell: Callable[[str], None]) -> Generator[Any]:
    """A session that can read Neo4j, where the settings of Spark itself say.

    Args:
        home: where the jar of the connector is kept.
        tell: told what takes long.

    Raises:
        EngineError: Spark, Java, Maven or the connector is missing, Spark does not start, or what
            the block had it do failed.
    """
    sql = _pyspark()
    java_home = _java_home(run_command)
    jars = ",".join(map(str, _connector(home / "spark", java_home, run_command, tell)))
    os.environ["JAVA_HOME"] = str(java_home)
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    if "SPARK_CONF_DIR" not in os.environ:  # nobody else has to reach it
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    builder = sql.SparkSession.builder.appName("recsvc").config("spark.jars", jars)
    for name, value in _SETTINGS.items():
        builder = builder.config(name, value)
    try:
        session = builder.getOrCreate()
    except Exception as error:  # whatever Spark raises where it cannot start
        raise EngineError(f"Spark does not start: {_cause(error)}") from error
    session.sparkContext.setLogLevel("ERROR")
    try:
        yield session
    except Exception as error:  # py4j and pyspark have no class that all of theirs share
        if type(error).__module__.partition(".")[0] in ("py4j", "pyspark"):
            raise EngineError(f"Spark could not do it: {_cause(error)}") from error
        raise
    finally:
        session.stop()


def _cause(error: BaseException) -> str:
    """What is at the bottom of an error of Spark, in one line."""
    java: Any = getattr(error, "java_exception", None)
    while java is not None and java.getCause() is not None:
        java = java.getCause()
    lines = str(java.toString() if java is not None else error).split("\n")
    # Python says at the end what is wrong, Java at the beginning.
    told = reversed(lines) if "Traceback" in lines[0] else lines
    return next(filter(str.strip, told), type(error).__name__)


def _pyspark() -> Any:
    try:
        return importlib.import_module("pyspark.sql")
    except ImportError as error:
        raise EngineError(
            "Spark is not installed, which `--engine spark` needs: pip install 'recsvc[spark]'"
        ) from error


def _java_home(run: Runner) -> Path:
    try:
        return find_java(_JAVA, run).home
    except LocalNeo4jError as error:
        raise EngineError(
            f"Spark needs Java {_JAVA} or newer, and there is none: install it (apt-get install "
            f"openjdk-{_JAVA}-jre-headless, dnf install java-{_JAVA}-openjdk-headless, brew "
            f"install openjdk@{_JAVA}) or set JAVA_HOME"
        ) from error


def _connector(
    folder: Path, java_home: Path, run: Runner, tell: Callable[[str], None]
) -> Iterable[Path]:
    """The jar of Neo4j's connector; its folder appears whole or not at all."""
    pom = shared_path("deploy/spark") / "pom.xml"
    target = folder / f"lib-{hashlib.sha256(pom.read_bytes()).hexdigest()[:8]}"
    if not target.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        tell("bringing Neo4j's Spark connector with Maven (6 MB)")
        partial = Path(tempfile.mkdtemp(prefix="partial-", dir=folder))
        try:
            _bring(pom, partial, java_home, run)
            partial.rename(target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return sorted(target.glob("*.jar"))


def _bring(pom: Path, target: Path, java_home: Path, run: Runner) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise EngineError(
            "no Maven (mvn) on PATH, which brings Neo4j's Spark connector: install it (apt-get "
            "install maven, dnf install maven, brew install maven)"
        )
    # The jar holds all that the connector needs.
    result = run(
        [maven, "-q", "-B", "-f", str(pom), "dependency:copy-dependencies",
         "-DexcludeTransitive=true", f"-DoutputDirectory={target}"],
        timeout_seconds=_MAVEN_TIMEOUT_SECONDS,
        environment={"JAVA_HOME": str(java_home)},
    )  # fmt: skip
    if not result.succeeded or not list(target.glob("*.jar")):
        raise EngineError(
            f"Maven could not bring Neo4j's Spark connector (exit code {result.exit_code}): check "
            f"the network and ~/.m2/settings.xml; its last lines:\n{result.last_lines()}"
        )
