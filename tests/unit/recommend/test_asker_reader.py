"""What somebody had done before a moment of the log."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

from recsvc.graph.rows import StoredUser
from recsvc.recommend import asker_reader
from recsvc.recommend.asker_reader import AskerReader
from recsvc.settings import OutcomeSettings, load_settings


async def test_what_was_done_again_counts_from_the_first_time(monkeypatch: Any) -> None:
    seen_by: list[StoredUser] = []

    def note(_user_id: str, stored: StoredUser, *_: Any, **_more: Any) -> None:
        seen_by.append(stored)

    async def user(*_: Any, **_more: Any) -> StoredUser:
        rows = [
            ("later", "view", 1.0, 50.0), ("again", "view", 5.0, 40.0), ("again", "buy", 1.0, 30.0),
            ("edge", "view", 1.0, 20.0), ("early", "view", 2.0, 9.0), ("never", "view", 1.0, None),
        ]  # fmt: skip
        return StoredUser([*rows], [], [])

    async def done_again(user_id: str, moment: datetime) -> dict[tuple[str, str], float]:
        assert (user_id, moment.timestamp()) == ("u", 20.0)
        return {("again", "view"): 3.0, ("gone", "view"): 1.0}

    monkeypatch.setattr(asker_reader, "stored_asker", note)
    store = cast(Any, SimpleNamespace(user=user, done_again=done_again))
    reader = AskerReader(store, load_settings().events, OutcomeSettings(), 100)
    await reader.before("u", datetime.fromtimestamp(20, UTC))
    assert [each.interactions for each in seen_by] == [
        [("early", "view", 2.0, 9.0), ("again", "view", 5.0, 3.0), ("never", "view", 1.0, None)]
    ]
