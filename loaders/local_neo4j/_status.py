"""What is known of the Neo4j on this machine."""

from dataclasses import dataclass
from pathlib import Path

from loaders.local_neo4j._record import How


@dataclass(frozen=True, slots=True)
class LocalNeo4jStatus:
    """What is known of the Neo4j on this machine.

    Attributes:
        running: whether its process or container lives; it may still be starting.
        home: folder of all state.
        password_file: where the password is kept; not there before the first start.
        how: what runs it; None, as all below, when it does not run.
        pid: its process id; None in Docker.
        uri: its address for drivers.
        browser_url: where Neo4j Browser is.
        version: version of Neo4j.
    """

    running: bool
    home: Path
    password_file: Path
    how: How | None = None
    pid: int | None = None
    uri: str | None = None
    browser_url: str | None = None
    version: str | None = None
