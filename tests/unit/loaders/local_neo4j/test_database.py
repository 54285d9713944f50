"""What is made of a database that does not answer."""

import time

from loaders.gateway import Neo4jAddress
from loaders.local_neo4j._database import await_database, database_state
from tests.ports import free_ports


def test_one_that_does_not_answer_yet_is_waited_for() -> None:
    """A busy machine makes it slow: that is no broken database."""
    (port,) = free_ports(1)
    address = Neo4jAddress(f"bolt://127.0.0.1:{port}", "neo4j", "password")
    state = database_state(address)
    assert (state.answers, state.offline, state.starting) == (False, False, True)
    tries: list[float] = []

    def alive() -> bool:
        tries.append(time.monotonic())
        return len(tries) < 3

    assert not await_database(address, time.monotonic() + 3600, alive).answers
    assert len(tries) == 3
