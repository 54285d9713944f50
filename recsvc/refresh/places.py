"""Every place outside the main graph that may name a user, an item or a category.

A deletion goes through the list, and `docs/deletion.md` has the same one; a test deletes somebody
who is everywhere, and searches all files and the whole graph for the id. What is in the graph,
stored arrays among it, is `recsvc.snapshot.deletion`'s.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from loaders.errors import LoaderError
from loaders.gateway import Neo4jGateway
from recsvc.content.kept_vectors import forget_content
from recsvc.errors import DeletionPendingError
from recsvc.evidence import EvidenceKind
from recsvc.person_links import FOLDER as PERSON_LINKS
from recsvc.person_links import PersonLinks
from recsvc.refresh.fine_tuning_state import forget_node
from recsvc.refresh.sampled_lists import forget
from recsvc.refresh.trial_basis import forget_basis
from recsvc.snapshot.deletion import existing

if TYPE_CHECKING:
    from loaders.local_neo4j import LocalNeo4j

ANALYST: Final = "analyst"
"""The folder of all that is there for analysts, below `RECSVC_HOME`."""
COPY_FILE: Final = "copy.json"
"""What is known of the analysts' copy, in that folder."""

_OLD_PAGES: Final = ("report.html", "refreshes/*/report.html")
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Place:
    """Where something of a node may be.

    Attributes:
        path: below `RECSVC_HOME`.
        forget: takes a node out of it, given `RECSVC_HOME`, the kind and the id; returns what
            people are to know of it, "" where that is nothing.
    """

    path: str
    forget: Callable[[Path, EvidenceKind, str], str | None]


def _rejected(home: Path, _kind: EvidenceKind, node_id: str) -> None:
    from loaders.tables import forget_rejected  # heavy, and rarely needed

    for path in (home / "rejects").glob("*.csv"):
        forget_rejected(path, node_id)


def _half_imported(home: Path, _kind: EvidenceKind, _node_id: str) -> None:
    if (home / "neo4j" / "import").is_dir():
        from loaders.ingest.bulk import forget_files  # heavy, and rarely needed

        forget_files(home / "neo4j")


def _old_pages(home: Path, _kind: EvidenceKind, _node_id: str) -> None:
    """Earlier versions wrote pages unasked that tell of users."""
    for page in (file for pattern in _OLD_PAGES for file in home.glob(pattern)):
        page.unlink(missing_ok=True)


def _analyst_copy(home: Path, kind: EvidenceKind, node_id: str) -> str:
    """A copy that has the node is stopped and removed: nobody can change it."""
    if not (home / ANALYST / "neo4j" / "data").is_dir():
        return ""
    from loaders.local_neo4j import LocalNeo4j, LocalNeo4jOptions, forget_data

    server = LocalNeo4j(LocalNeo4jOptions(home=home / ANALYST, read_only=True))
    running = server.status().running
    if running and not _copy_holds(server, kind, node_id):
        return ""
    server.down()
    forget_data(server)
    file = home / ANALYST / COPY_FILE
    made = json.loads(file.read_text(encoding="utf-8"))["copied_at"] if file.exists() else "before"
    file.unlink(missing_ok=True)
    if not running:
        return ""
    return (
        f"the analysts' copy of {made} held it too and is removed: `recsvc analyst up` makes "
        "another"
    )


def _copy_holds(server: "LocalNeo4j", kind: EvidenceKind, node_id: str) -> bool:
    """Whether the running copy has a node; where it cannot be asked, it may."""
    if kind == "category":
        return True
    asked = ([node_id], []) if kind == "user" else ([], [node_id])
    try:
        with Neo4jGateway(server.address()) as gateway:
            users, items = existing(gateway, *asked)
    except LoaderError:
        return True
    return bool(users or items)


def _content(home: Path, kind: EvidenceKind, node_id: str) -> None:
    forget_content(home, kind, node_id)


def _person_links(home: Path, kind: EvidenceKind, node_id: str) -> None:
    if kind == "user":
        PersonLinks(home).forget(node_id)


PLACES: Final = (
    Place("refreshes/*/lists.json", forget),
    Place("refreshes/*/state.npz, refreshes/* of unfinished runs", forget_node),
    Place("trial", forget_basis),
    Place("content/*/*.npz", _content),
    Place("rejects/*.csv", _rejected),
    Place("neo4j/import", _half_imported),
    Place(", ".join(_OLD_PAGES), _old_pages),
    Place(f"{ANALYST}/neo4j", _analyst_copy),
    Place(f"{PERSON_LINKS}/*", _person_links),
)
"""All of them, but `snapshots/`: those that serve go on with the new arrays before they remove the
old ones (`recsvc.recommend.active_snapshot`, `recsvc.snapshot.deletion.forget_on_disk`)."""


def forget_here(home: Path, kind: EvidenceKind, node_id: str) -> list[str]:
    """Take a node out of every place on this machine; one that cannot be changed stops no other.

    Returns:
        What people are to know.

    Raises:
        DeletionPendingError: a place could not be changed.
    """
    told: list[str] = []
    failed: list[str] = []
    for place in PLACES:
        try:
            told.append(place.forget(home, kind, node_id) or "")
        except (OSError, LoaderError) as error:
            failed.append(f"{place.path}: {error}")
    for warning in filter(None, told):
        if structlog.is_configured():  # a command tells it to the person
            _log.warning("a deletion reached further", reason=warning)
    if failed:
        raise DeletionPendingError("; ".join(failed), pending=())
    return [warning for warning in told if warning]
