import multiprocessing
from collections.abc import Iterator
from contextlib import closing
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from recsvc.recommend.write_counters import WriteCounters
from tests.waiting import PATIENCE_SECONDS


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "revisions"


@pytest.fixture
def write_counters(path: Path) -> Iterator[WriteCounters]:
    write_counters = WriteCounters(path)
    yield write_counters
    write_counters.close()


def test_a_write_ends_what_was_read_before_it_and_nothing_else(
    write_counters: WriteCounters,
) -> None:
    ann, bob = write_counters.places(["ann"]), write_counters.places(["bob"])
    before = write_counters.newest
    write_counters.note_write(["ann"])
    assert not write_counters.unchanged(ann, before)
    assert write_counters.unchanged(ann, write_counters.newest)
    assert write_counters.unchanged(bob, before)
    assert not write_counters.unchanged(write_counters.places(["bob", "ann"]), before)


def test_a_write_that_concerns_anybody_ends_everything(write_counters: WriteCounters) -> None:
    before = write_counters.newest
    write_counters.note_write(anybody=True)
    for users in ([], ["ann"], ["ann", "bob"]):
        assert not write_counters.unchanged(write_counters.places(users), before)


def test_numbers_outlive_a_process_and_are_seen_by_the_others(path: Path) -> None:
    with closing(WriteCounters(path)) as first:
        first.note_write(["ann"])
        with closing(WriteCounters(path)) as second:
            before = second.newest
            assert before == 1
            first.note_write(["ann"])
            assert not second.unchanged(second.places(["ann"]), before)
    with closing(WriteCounters(path)) as third:
        assert third.newest == 2


def test_the_file_has_all_its_blocks(write_counters: WriteCounters, path: Path) -> None:
    """A hole could find the disk full when a number is stored, which kills the process."""
    assert write_counters.newest == 0
    found = path.stat()
    assert found.st_blocks * 512 >= found.st_size
    assert found.st_mode & 0o077 == 0


@pytest.mark.parametrize("user_id", ["", "a/b", "😀", "\0", "x" * 512, "\ud800"])
def test_any_id_has_a_place(write_counters: WriteCounters, user_id: str) -> None:
    write_counters.note_write([user_id])
    assert not write_counters.unchanged(write_counters.places([user_id]), 0)


def _write(path: Path, start: Barrier, writes: int) -> None:
    with closing(WriteCounters(path)) as write_counters:
        start.wait()
        for _ in range(writes):
            write_counters.note_write(["ann"])


def test_no_write_of_several_processes_is_lost(write_counters: WriteCounters, path: Path) -> None:
    """An older number stored over a newer one would make what is old look current."""
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(2)
    processes = [context.Process(target=_write, args=(path, start, 20_000)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(PATIENCE_SECONDS)
        assert process.exitcode == 0
    assert write_counters.newest == 40_000
    assert not write_counters.unchanged(write_counters.places(["ann"]), 39_999)
