"""`recsvc batch-recommend`: the lists of many users as Parquet or JSON Lines."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from loaders.files import whole_file
from loaders.types import HeteroGraph
from recsvc.recommend.batch import UserList, batch_evidence, recommend_all
from recsvc.recommend.engine import Engine
from recsvc.recommend.query import RecommendationQuery
from recsvc.settings import EventSettings
from recsvc.snapshot.arrays import Snapshot

_USERS_PER_GROUP = 1_000
_USERS_AT_ONCE = 50
_SCHEMA = pa.schema(
    [("user_id", pa.string()), ("item_id", pa.string()), ("rank", pa.int32()),
     ("score", pa.float32())]
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class BatchReport:
    """What was written, and in what time.

    Attributes:
        users: whose lists.
        recommendations: rows.
        missing: how many more rows there would be if each list had as many as were asked for: no
            other item is available and new to these users.
        seconds: that it took.
    """

    users: int
    recommendations: int
    missing: int
    seconds: float


def write_recommendations(
    out: Path,
    graph: HeteroGraph,
    snapshot: Snapshot,
    newcomers: Sequence[str],
    events: Mapping[str, EventSettings],
    k: int,
    users: Sequence[str] | None,
    progress: Callable[[str, int, int], None],
    make: Callable[..., Iterator[UserList]] = recommend_all,
) -> BatchReport:
    """Write `user_id, item_id, rank, score`; the file appears whole or not at all.

    Args:
        out: `.parquet` or `.jsonl`.
        graph: what everybody did.
        snapshot: what they are recommended from.
        newcomers: ids of the available items that it lacks; they fill lists that are too short.
        events: settings by kind of event.
        k: items for each user.
        users: whose lists; those of everybody where None. One that the graph lacks has none.
        progress: told what is done.
        make: makes the lists; takes what `recommend_all` takes.

    Raises:
        OSError: the file cannot be written.
    """
    started = time.perf_counter()
    # Somebody may have been deleted since the list was made.
    wanted = graph.users if users is None else users
    user_ids = [user_id for user_id in wanted if user_id in graph.users]
    evidence = batch_evidence(graph, snapshot, events, newcomers=newcomers)
    lists = make(snapshot, evidence, user_ids, k)
    write = _write_parquet if out.suffix == ".parquet" else _write_json_lines
    with whole_file(out) as part:
        count = write(part, _groups(lists, len(user_ids), snapshot, progress))
    missing = len(user_ids) * k - count
    return BatchReport(len(user_ids), count, missing, time.perf_counter() - started)


async def write_answers(
    out: Path,
    engine: Engine,
    query: RecommendationQuery,
    user_ids: Sequence[str],
    progress: Callable[[str, int, int], None],
) -> BatchReport:
    """The same of lists that the graph is asked about one by one, as under a scenario.

    Args:
        out: `.parquet` or `.jsonl`.
        engine: makes the lists.
        query: what is asked for.
        user_ids: whose lists.
        progress: told what is done.

    Raises:
        NotFoundError: there is no such scenario.
        OSError: the file cannot be written.
    """
    started = time.perf_counter()
    groups: list[dict[str, list[object]]] = []
    users, wanted = 0, 0
    for at in range(0, len(user_ids), _USERS_AT_ONCE):
        some = user_ids[at : at + _USERS_AT_ONCE]
        answers, _ = await engine.recommend_many(some, query, lambda answer: answer)
        columns: dict[str, list[object]] = {name: [] for name in _SCHEMA.names}
        for answer in answers:
            wanted += answer.k
            columns["user_id"] += [answer.user_id] * len(answer.items)
            columns["item_id"] += [item.item_id for item in answer.items]
            columns["rank"] += [item.rank for item in answer.items]
            columns["score"] += [item.score for item in answer.items]
        groups.append(columns)
        users += len(answers)
        progress("users", at + len(some), len(user_ids))
    write = _write_parquet if out.suffix == ".parquet" else _write_json_lines
    with whole_file(out) as part:
        count = write(part, iter(groups))
    return BatchReport(users, count, wanted - count, time.perf_counter() - started)


def _groups(
    lists: Iterator[UserList],
    total: int,
    snapshot: Snapshot,
    progress: Callable[[str, int, int], None],
) -> Iterator[Mapping[str, Sequence[object]]]:
    """Columns of some thousand lists at a time."""
    columns: dict[str, list[object]] = {name: [] for name in _SCHEMA.names}
    for done, best in enumerate(lists, start=1):
        items: list[tuple[str, float]] = [
            (snapshot.items[row], score)
            for row, score in zip(best.items.tolist(), best.scores.tolist(), strict=True)
        ]
        items += [(item_id, 0.0) for item_id in best.newcomers]
        items.sort(key=lambda item: -item[1])
        columns["user_id"] += [best.user_id] * len(items)
        columns["item_id"] += [item_id for item_id, _ in items]
        columns["rank"] += range(1, len(items) + 1)
        columns["score"] += [score for _, score in items]
        if done % _USERS_PER_GROUP == 0 or done == total:
            yield columns
            columns = {name: [] for name in _SCHEMA.names}
            progress("users", done, total)


def _write_parquet(path: Path, groups: Iterator[Mapping[str, Sequence[object]]]) -> int:
    count = 0
    with pq.ParquetWriter(path, _SCHEMA, compression="zstd") as writer:
        for columns in groups:
            writer.write_table(pa.table(columns, schema=_SCHEMA))
            count += len(columns["rank"])
    return count


def _write_json_lines(path: Path, groups: Iterator[Mapping[str, Sequence[object]]]) -> int:
    count = 0
    with path.open("wb") as file:
        for columns in groups:
            for row in zip(*columns.values(), strict=True):
                file.write(orjson.dumps(dict(zip(columns, row, strict=True))) + b"\n")
                count += 1
    return count
