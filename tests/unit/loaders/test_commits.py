"""What processes on a machine know of the commits of a cluster, and when reads take it along."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from neo4j import exceptions as driver_errors

from loaders.catalogue import catalogue
from loaders.commits import NewestCommits
from loaders.driver_errors import translated_errors
from loaders.errors import Neo4jError, Neo4jServerError, Neo4jUnavailableError, NoLeaderError
from loaders.gateway import Neo4jAddress

ROUTED = "neo4j://db:7687"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "bookmarks"


def test_a_commit_takes_the_place_of_what_it_saw_and_of_nothing_else(path: Path) -> None:
    here, there = NewestCommits(path, "shop"), NewestCommits(path, "shop")
    here.update_bookmarks([], ["one"])
    assert there.get_bookmarks() == {"one"}
    here.update_bookmarks(["one"], ["two"])
    there.update_bookmarks(["one"], ["three"])  # it was committed beside the second
    assert here.get_bookmarks() == there.get_bookmarks() == {"two", "three"}
    here.update_bookmarks(here.get_bookmarks(), ["four"])
    assert there.get_bookmarks() == {"four"}
    here.update_bookmarks(["four"], [])
    assert there.get_bookmarks() == {"four"}


def test_no_commit_is_lost_where_many_are_noted_at_once(path: Path) -> None:
    names = [f"b{number}" for number in range(64)]

    def note(name: str) -> None:
        NewestCommits(path).update_bookmarks([], [name])

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(note, names))
    assert NewestCommits(path).get_bookmarks() == {*names}


def test_what_is_kept_is_bounded(path: Path) -> None:
    commits = NewestCommits(path)
    commits.update_bookmarks([], [str(number) for number in range(3_000)])
    assert len(commits.get_bookmarks()) == 1_000
    assert "2999" in commits.get_bookmarks()


def test_what_was_noted_of_another_graph_does_not_count(path: Path) -> None:
    NewestCommits(path, "neo4j://one:7687 shop").update_bookmarks([], ["one"])
    other = NewestCommits(path, "neo4j://two:7687 shop")
    assert other.get_bookmarks() == set()
    other.update_bookmarks([], ["two"])
    assert other.get_bookmarks() == {"two"}


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"nothing of ours\nx"])
def test_a_file_that_cannot_be_read_says_nothing(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    assert NewestCommits(path, "shop").get_bookmarks() == set()


def test_where_no_file_can_be_written_a_process_knows_its_own(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file and no folder")
    commits = NewestCommits(tmp_path / "home" / "bookmarks")
    commits.update_bookmarks([], ["one"])
    commits.update_bookmarks(["one"], ["two"])
    assert commits.get_bookmarks() == {"two"}
    (tmp_path / "home").unlink()  # there is room again: what is known is shared
    commits.update_bookmarks([], ["three"])
    assert NewestCommits(tmp_path / "home" / "bookmarks").get_bookmarks() == {"two", "three"}


def test_commits_count_where_several_servers_may_answer() -> None:
    assert Neo4jAddress("bolt://db:7687", "neo4j", "", commits=NewestCommits()).commits is None
    routed = Neo4jAddress(ROUTED, "neo4j", "")
    assert routed.commits is not None
    assert replace(routed, graph=None).commits is routed.commits
    assert routed == Neo4jAddress(ROUTED, "neo4j", "")
    assert Neo4jAddress("neo4j+s://db:7687", "neo4j", "").commits is not None


def server_says(code: str) -> driver_errors.Neo4jError:
    return driver_errors.Neo4jError._hydrate_neo4j(code=code, message="said so")


def translated(uri: str, error: Exception) -> Neo4jError:
    with pytest.raises(Neo4jError) as caught, translated_errors(uri, catalogue()["lease/take"]):
        raise error
    return caught.value


def test_a_cluster_without_a_leader_is_told_from_one_that_is_away() -> None:
    nobody = driver_errors.SessionExpired("Failed to obtain connection towards 'WRITE' server.")
    nobody.__cause__ = driver_errors.WriteServiceUnavailable("none")
    refused = server_says("Neo.ClientError.Cluster.NotALeader")
    for error in (nobody, refused):
        said = translated(ROUTED, error)
        assert isinstance(said, NoLeaderError)
        assert f"no server of Neo4j at {ROUTED} takes writes in cypher/lease/take" in str(said)
        assert "\n" not in str(said)
    direct = translated("bolt://db:7687", refused)
    assert isinstance(direct, Neo4jServerError)
    assert "use neo4j:// in RECSVC_NEO4J_URI" in str(direct)
    assert not isinstance(translated(ROUTED, driver_errors.SessionExpired("x")), NoLeaderError)


def test_a_commit_that_nobody_heard_of_may_have_been_one() -> None:
    said = translated(ROUTED, driver_errors.IncompleteCommit("defunct"))
    assert type(said) is Neo4jUnavailableError
    assert "it may have been written: do the same again" in str(said)
