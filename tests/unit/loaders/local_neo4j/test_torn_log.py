"""What is made of the words with which Neo4j tells of a torn transaction log."""

from pathlib import Path

import pytest

from loaders.errors import LocalNeo4jError
from loaders.local_neo4j._torn_log import DebugLog
from tests.unit.loaders.local_neo4j.helpers import local

STARTED = "2026-11-29 INFO  [o.n.g.f.m.GlobalModule] Logging config in use: 'default'\n"
OPENING = "2026-11-29 INFO  [o.n.d.d.DatabaseLifecycles] Starting 'DatabaseId{63f46384[neo4j]}'.\n"
OPENED = "2026-11-29 INFO  [o.n.k.d.Database] [neo4j/63f4] Starting transaction log [/x] at 0\n"
UNREADABLE = "Caused by: java.lang.RuntimeException: Error reading transaction logs, recovery not\n"
RECOVERED = (
    "2026-11-29 INFO  [o.n.k.d.Database] [{name}/63f46384] Recovery in 'full' mode completed. "
    "Observed transactions range [first:4, last:{last}]: 6 transactions applied\n"
)
CUT = (
    "2026-11-29 WARN  [o.n.k.d.Database] [neo4j/63f46384] Fail to recover database. Highest "
    "recovered transaction id:9, committed at:1795941847159. Any transactional logs after position "
    "LogPosition{logVersion=0, byteOffset=921902} can not be recovered and will be truncated.\n"
)
OUT_OF_MEMORY = "Terminating due to java.lang.OutOfMemoryError: Java heap space\n"


@pytest.mark.parametrize(
    ("text", "console", "torn"),
    [
        (STARTED + OPENING + UNREADABLE, "", True),
        (STARTED + OPENING, OUT_OF_MEMORY, True),
        (STARTED + OPENING, "", False),
        (STARTED + OPENING + OPENED, OUT_OF_MEMORY, False),
        (STARTED, OUT_OF_MEMORY, False),
        ("", OUT_OF_MEMORY, False),
        (STARTED + OPENING + UNREADABLE + STARTED + OPENING + OPENED, "", False),
    ],
    ids=["said", "no memory", "neither", "no memory later", "before", "no log", "an earlier start"],
)
def test_a_log_is_torn_where_the_last_start_could_not_read_it(
    tmp_path: Path, text: str, console: str, torn: bool
) -> None:
    (tmp_path / "debug.log").write_text(text)
    assert DebugLog.read(tmp_path).is_torn(console) is torn


def test_without_a_debug_log_nothing_is_known(tmp_path: Path) -> None:
    assert DebugLog.read(tmp_path) == DebugLog("")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            RECOVERED.format(name="system", last=42) + CUT + RECOVERED.format(name="neo4j", last=9),
            "transaction 9, committed at 2026-11-29 08:44:07 UTC, is the last in",
        ),
        (
            RECOVERED.format(name="system", last=42) + RECOVERED.format(name="neo4j", last=9),
            "transaction 9 is the last in the transaction log that is whole: ",
        ),
        ("Fail to recover database. Any transactional logs after", "since the last checkpoint"),
        (RECOVERED.format(name="system", last=42), "nothing is lost"),
    ],
)
def test_what_a_repair_lost_is_said(text: str, said: str) -> None:
    assert said in DebugLog(STARTED + text).cut_off()


def test_a_server_that_ran_out_of_memory_over_its_log_says_what_to_do(
    java_on_path, tmp_path: Path
) -> None:
    neo4j = local(tmp_path / "home", start_timeout_seconds=3600)
    log = neo4j.folder / "logs" / "debug.log"
    java_on_path(f'/usr/bin/printf "%s" "{STARTED}{OPENING}" >"{log}"; echo "{OUT_OF_MEMORY}"')
    with pytest.raises(LocalNeo4jError, match=r"log is torn.*recsvc db up --repair"):
        neo4j.up()
