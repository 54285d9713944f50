"""A transaction log that Neo4j cannot read to its end: what debug.log tells of it."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

_START = "Logging config in use"
"""Is in the first line that a start of Neo4j writes."""
_OPENING = re.compile(r"Starting 'DatabaseId\{|Starting transaction log \[")
"""The first begins the recovery of a database, the second ends it."""
_UNREADABLE = "Error reading transaction logs"
_CUT_OFF = re.compile(
    r"Fail to recover database\."
    r"(?: Highest recovered transaction id:(?P<number>\d+), committed at:(?P<at>\d+)\.)?"
)
_RECOVERED = re.compile(
    r"\[(?!system/)[^\]]*\] Recovery in .* completed\. Observed transactions range "
    r"\[first:\d+, last:(?P<number>\d+)\]"
)
"""A torn end that may be the beginning of a transaction is left out, and nothing more is said."""
_OUT_OF_MEMORY = "java.lang.OutOfMemoryError"

REPAIR_ADVICE = (
    "the end of its transaction log is torn, as a full disk or a power cut leaves it. Copy the "
    "folder data, then `recsvc db up --repair` cuts off what cannot be read: the last transactions "
    "are lost with it"
)


@dataclass(frozen=True, slots=True)
class DebugLog:
    """What the last start of Neo4j wrote to debug.log.

    Attributes:
        text: all of it since that start.
    """

    text: str

    @classmethod
    def read(cls, logs: Path) -> "DebugLog":
        """Read it from the folder of the logs; it is empty where there is none."""
        try:
            whole = (logs / "debug.log").read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return cls("")
        return cls(whole[max(0, whole.rfind(_START)) :])

    def is_torn(self, console: str) -> bool:
        """Whether a transaction log kept the server, or its database, from being started.

        Neo4j says so, or it takes garbage in the log for a length and runs out of memory while it
        recovers.

        Args:
            console: what the server printed.
        """
        opened = _OPENING.findall(self.text)
        recovering = bool(opened) and opened[-1].startswith("Starting 'DatabaseId")
        return _UNREADABLE in self.text or (_OUT_OF_MEMORY in console and recovering)

    def cut_off(self) -> str:
        """What a repair cut off, in words."""
        if cuts := list(_CUT_OFF.finditer(self.text)):
            return _cut_in_words(cuts[-1])
        if recovered := list(_RECOVERED.finditer(self.text)):
            number = recovered[-1]["number"]
            return (
                f"transaction {number} is the last in the transaction log that is whole: what was "
                "committed later is lost"
            )
        return "the transaction log needed no repair: nothing is lost"


def _cut_in_words(cut: re.Match[str]) -> str:
    if cut["number"] is None:
        return "nothing could be read that was committed since the last checkpoint: it is lost"
    at = datetime.fromtimestamp(int(cut["at"]) / 1000, UTC)
    return (
        f"transaction {cut['number']}, committed at {at:%Y-%m-%d %H:%M:%S} UTC, is the last in the "
        "transaction log that can be read: what was committed later is lost"
    )
