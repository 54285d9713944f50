"""What changed for a sample of users, as it is kept with a refresh, and how one is taken out.

    RECSVC_HOME/refreshes/<run>/
      lists.json     the users, each with what stood on their list before and what does now

A user has a short number for a name, and beside it a hash of their id: by that a deletion finds
their lists. A deletion of an item removes the lists that have the item. All writers hold one lock.
A writer of users and items looks, with the lock held, whether these still exist: of a deletion and
a refresh at the same time, the later one leaves nothing.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from loaders.files import file_lock, write_bytes
from recsvc.evaluation.splits import id_numbers
from recsvc.evidence import EvidenceKind

_LISTS: Final = "lists.json"


@dataclass(frozen=True, slots=True)
class ListedItem:
    """An item on a list; its title is "" where it has none."""

    item_id: str
    title: str


@dataclass(frozen=True, slots=True)
class UserLists:
    """The list of one user before and now, best item first.

    Attributes:
        number: what the page calls them.
        user: a hash of their id, see `recsvc.evaluation.splits.id_numbers`.
        items: how many items they did something with.
        before: by the version that was active.
        now: by the new version.
    """

    number: int
    user: int
    items: int
    before: tuple[ListedItem, ...]
    now: tuple[ListedItem, ...]

    @property
    def item_ids(self) -> frozenset[str]:
        """The items on either list."""
        return frozenset(item.item_id for item in (*self.before, *self.now))

    @property
    def overlap(self) -> float:
        """Share of the longer list that is on both; 1 where both are empty."""
        both = len({item.item_id for item in self.before} & {item.item_id for item in self.now})
        longest = max(len(self.before), len(self.now))
        return both / longest if longest else 1.0


@dataclass(frozen=True, slots=True)
class SampledLists:
    """What changed for a sample of users.

    Attributes:
        version: number of the version of the blend that was active before.
        overlap: mean of `UserLists.overlap` over the whole sample, those taken out among it,
            and the ends of its 95% interval.
        users: those of the sample that nothing was taken out of.
    """

    version: int
    overlap: tuple[float, float, float]
    users: tuple[UserLists, ...]


_STORED: Final = TypeAdapter(SampledLists)


def write_lists(folder: Path, lists: SampledLists) -> None:
    """Keep what changed with a run.

    Raises:
        OSError: the file cannot be written.
    """
    write_bytes(folder / _LISTS, _STORED.dump_json(lists))


def read_lists(folder: Path) -> SampledLists | None:
    """What changed in a run; None where that is not known."""
    try:
        return _STORED.validate_json((folder / _LISTS).read_bytes())
    except (OSError, ValidationError):
        return None


def drop_lists(folder: Path) -> None:
    """Forget what is known of a run."""
    (folder / _LISTS).unlink(missing_ok=True)


def forget(home: Path, kind: EvidenceKind, node_id: str) -> None:
    """Take a deleted node out of what is kept with refreshes.

    Args:
        home: `RECSVC_HOME`.
        kind: what was deleted from the graph.
        node_id: its outer id.

    Raises:
        OSError: a file cannot be written.
    """
    if not (home / "refreshes").is_dir():
        return
    with lists_locked(home):
        for folder in (home / "refreshes").glob("*/"):
            lists = read_lists(folder)
            if lists is not None and any(_names(user, kind, node_id) for user in lists.users):
                users_left = tuple(user for user in lists.users if not _names(user, kind, node_id))
                write_lists(folder, replace(lists, users=users_left))


def lists_locked(home: Path) -> AbstractContextManager[bool]:
    """Hold the lock of all lists below one `RECSVC_HOME`, which has refreshes."""
    return file_lock(home / "refreshes")


def _names(user: UserLists, kind: EvidenceKind, node_id: str) -> bool:
    if kind == "user":
        return user.user == int(id_numbers([node_id])[0])
    return kind == "item" and node_id in user.item_ids
