import multiprocessing
from collections.abc import Iterator
from contextlib import closing
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from recsvc.recommend.write_counters import Revisions


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "revisions"


@pytest.fixture
def revisions(path: Path) -> Iterator[Revisions]:
    revisions = Revisions(path)
    yield revisions
    revisions.close()


def test_a_write_ends_what_was_read_before_it_and_nothing_else(revisions: Revisions) -> None:
    ann, bob = revisions.places(["ann"]), revisions.places(["bob"])
    before = revisions.newest
    revisions.note_write(["ann"])
    assert not revisions.unchanged(ann, before)
    assert revisions.unchanged(ann, revisions.newest)
    assert revisions.unchanged(bob, before)
    assert not revisions.unchanged(revisions.places(["bob", "ann"]), before)


def test_a_write_that_concerns_anybody_ends_everything(revisions: Revisions) -> None:
    before = revisions.newest
    revisions.note_write(anybody=True)
    for users in ([], ["ann"], ["ann", "bob"]):
        assert not revisions.unchanged(revisions.places(users), before)


def test_numbers_outlive_a_process_and_are_seen_by_the_others(path: Path) -> None:
    with closing(Revisions(path)) as first:
        first.note_write(["ann"])
        with closing(Revisions(path)) as second:
            before = second.newest
            assert before == 1
            first.note_write(["ann"])
            assert not second.unchanged(second.places(["ann"]), before)
    with closing(Revisions(path)) as third:
        assert third.newest == 2


def test_the_file_has_all_its_blocks(revisions: Revisions, path: Path) -> None:
    """A hole could find the disk full when a number is stored, which kills the process."""
    assert revisions.newest == 0
    found = path.stat()
    assert found.st_blocks * 512 >= found.st_size
    assert found.st_mode & 0o077 == 0


@pytest.mark.parametrize("user_id", ["", "a/b", "😀", "\0", "x" * 512, "\ud800"])
def test_any_id_has_a_place(revisions: Revisions, user_id: str) -> None:
    revisions.note_write([user_id])
    assert not revisions.unchanged(revisions.places([user_id]), 0)


def _write(path: Path, start: Barrier, writes: int) -> None:
    with closing(Revisions(path)) as revisions:
        start.wait()
        for _ in range(writes):
            revisions.note_write(["ann"])


def test_no_write_of_several_processes_is_lost(revisions: Revisions, path: Path) -> None:
    """An older number stored over a newer one would make what is old look current."""
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(2)
    processes = [context.Process(target=_write, args=(path, start, 20_000)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert revisions.newest == 40_000
    assert not revisions.unchanged(revisions.places(["ann"]), 39_999)
