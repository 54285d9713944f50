"""What the page of a refresh says of the lists of a sample of users."""

from recsvc.refresh.run_manifest import RunManifest
from recsvc.refresh.sampled_lists import ListedItem, SampledLists, UserLists
from recsvc.report._parts import Section, Table, one_line, readable


def list_section(manifest: RunManifest, lists: SampledLists | None) -> Section:
    """The lists before and after, where they are known; else why they are not."""
    heading = "What changes for a sample of users"
    if lists is None:
        return Section(heading, (_no_lists(manifest),))
    mean, low, high = lists.overlap
    longest = max((len(user.now) for user in lists.users), default=0)
    sentences = (
        f"The first {longest} items of {len(lists.users)} users by hybrid {lists.version}, which "
        "was active, and by the new version, both from what the users had done when the graph was "
        "read. A hash of their ids chose the users, so the next refresh takes mostly the same; "
        "here they have short numbers.",
        f"Of a list, {mean:.1%} stays on average (95% interval {low:.1%} to {high:.1%}).",
    )
    return Section(heading, sentences, tuple(map(_user_table, lists.users)), side_by_side=True)


def _no_lists(manifest: RunManifest) -> str:
    if manifest.lists_error:
        reason = one_line(manifest.lists_error).rstrip(".")
        return f"They could not be compared: {reason}."
    if manifest.weights and not manifest.compared_with:
        return "No version of the blend was active to compare with."
    return "The run ended before they could be compared."


def _user_table(user: UserLists) -> Table:
    before = {item.item_id: rank for rank, item in enumerate(user.before, start=1)}
    now = {item.item_id: rank for rank, item in enumerate(user.now, start=1)}
    gone = [item for item in user.before if item.item_id not in now]
    rows = [
        (
            _item(item), now.get(item.item_id), before.get(item.item_id),
            _moved(now.get(item.item_id), before.get(item.item_id)),
        )
        for item in (*user.now, *gone)
    ]  # fmt: skip
    stay = sum(item_id in before for item_id in now)
    title = (
        f"User {user.number}, who knows {user.items:,} items: {stay} of {len(user.now)} stay "
        f"({user.overlap:.0%})"
    )
    return Table(title, ("item", "rank", "before", "change"), rows)


def _moved(rank: int | None, before: int | None) -> str:
    if before is None:
        return "in"
    if rank is None:
        return "out"
    if rank == before:
        return "same"
    return f"up {before - rank}" if rank < before else f"down {rank - before}"


def _item(item: ListedItem) -> str:
    return readable(f"{item.title} [{item.item_id}]" if item.title else item.item_id)
