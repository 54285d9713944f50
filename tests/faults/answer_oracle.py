"""Recommendations compared with those made here from the stored arrays of the version they name."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from loaders.catalogue import Query, catalogue
from loaders.gateway import Neo4jGateway
from loaders.parts import stored_parts
from recsvc.blend.ranking import best_items
from recsvc.evidence import Evidence
from recsvc.explain.contributions import take_apart
from recsvc.graph.rows import UNKNOWN, StoredUser, stored_user
from recsvc.graph.store import SEEN_LIMIT
from recsvc.recommend.query import stored_asker
from recsvc.settings import EventSettings
from recsvc.snapshot import arrays as snapshots
from recsvc.snapshot.arrays import Snapshot
from tests.faults.steady_load import Answered, Wanted

K = 10
_MOST_EVIDENCE = 1000
_RELATIVE, _ABSOLUTE = 1e-5, 1e-6
_SEEDS = Query(
    "tests/seeds", "Seeds of the versions of the blend.", "read", {}, {},
    "MATCH (v:EmbeddingVersion {model: 'hybrid'}) RETURN v.version AS version, v.seed AS seed",
)  # fmt: skip

Listed = tuple[tuple[str, ...], tuple[float, ...]]
"""Ids and scores of a list, best first."""


def wanted_of(users: Iterable[str]) -> list[Wanted]:
    """Requests for the users' recommendations; the explanation changes from one to the next."""
    return [
        Wanted(f"/v1/users/{user}/recommendations", ("none", "summary", "full")[number % 3])
        for number, user in enumerate(users)
    ]


@dataclass
class Findings:
    """What became of answers.

    Attributes:
        answers: how many there were.
        failed: without an answer, or with a status of 500 and above.
        degraded: that said what they lacked.
        mixed: that are not what the version they name gives.
        told_apart: whose scores no version of another seed gives.
        examples: of what is wrong, in words.
    """

    answers: int = 0
    failed: int = 0
    degraded: int = 0
    mixed: int = 0
    told_apart: int = 0
    examples: list[str] = field(default_factory=list[str])

    def __str__(self) -> str:
        return (
            f"{self.answers:,} answers: {self.failed} failed, {self.mixed} of mixed versions, "
            f"{self.degraded:,} degraded, {self.told_apart:,} that no other seed would give"
        )


class AnswerOracle:
    """The versions of the blend that Neo4j has stored, and what they give each user.

    Nothing but refreshes may write meanwhile: who did what is read once.

    Args:
        gateway: the graph.
        users: who is asked for.
        events: settings by kind of event.
    """

    def __init__(
        self, gateway: Neo4jGateway, users: Sequence[str], events: Mapping[str, EventSettings]
    ) -> None:
        query = catalogue()["serve/user_evidence"]
        self._events = events
        self._stored: dict[str, StoredUser] = {}
        for user in users:
            limits = {"limit": _MOST_EVIDENCE, "seen_limit": SEEN_LIMIT}
            (row,) = gateway.run(query, user_ids=[user], **limits)
            self._stored[user] = stored_user(row, _MOST_EVIDENCE, UNKNOWN)
        self._snapshots: dict[int, Snapshot] = {}
        self._seeds: dict[int, int] = {}
        self._lists: dict[tuple[int, str, bool], Listed] = {}

    def look(self, gateway: Neo4jGateway) -> int:
        """Read the stored versions that have not been read; the number of the active one."""
        for row in gateway.run(catalogue()["delete/stored_snapshots"]):
            if row["version"] not in self._snapshots:
                content = stored_parts(gateway, row["version"])
                self._snapshots[row["version"]] = snapshots.read(content, row["sha256"])
        self._seeds |= {row["version"]: row["seed"] for row in gateway.run(_SEEDS)}
        active = gateway.run(catalogue()["serve/active_versions"])
        return next(row["version"] for row in active if row["model"] == "hybrid")

    def forget_before(self, version: int) -> None:
        """Let go of what is too old to be served."""
        self._snapshots = {n: kept for n, kept in self._snapshots.items() if n >= version}
        self._lists = {key: kept for key, kept in self._lists.items() if key[0] >= version}

    def judge(self, answers: Iterable[Answered], found: Findings) -> None:
        """Compare answers with what the versions give that they name; adds to what was found."""
        for each in answers:
            found.answers += 1
            if each.status != 200:
                found.failed += 1
                found.examples.append(f"{each.wanted.path}: {each.status} {each.body}")
                continue
            found.degraded += bool(each.degraded)
            wrong = self._wrong(each)
            found.mixed += wrong is not None
            found.examples += [wrong] if wrong else []
            found.told_apart += wrong is None and self._told_apart(each)

    def _wrong(self, each: Answered) -> str | None:
        """What an answer should have been, in words; None where it is that."""
        named = each.body["versions"]
        snapshot = self._snapshots.get(named["hybrid"])
        if snapshot is None or dict(snapshot.versions) != named:
            known = [dict(known.versions) for known in self._snapshots.values()]
            return f"{each.wanted.path} names {named}; there are {known}"
        expected = self._expected(named["hybrid"], each)
        if _same(expected, _listed(each)):
            return None
        return f"{each.wanted.path} of {named} gave {_listed(each)}, expected {expected}"

    def _told_apart(self, each: Answered) -> bool:
        seed = self._seeds[each.body["versions"]["hybrid"]]
        others = [other for other in self._snapshots if self._seeds[other] != seed]
        return bool(others) and not any(
            _same(self._expected(other, each), _listed(each)) for other in others
        )

    def _expected(self, version: int, each: Answered) -> Listed:
        user, known = each.body["user_id"], "evidence" not in each.degraded
        key = (version, user, known)
        if key not in self._lists:
            self._lists[key] = self._list(self._snapshots[version], user, known=known)
        return self._lists[key]

    def _list(self, snapshot: Snapshot, user: str, *, known: bool) -> Listed:
        evidence = Evidence()
        if known:
            stored = self._stored[user]
            asker = stored_asker(user, stored, self._events, limit=_MOST_EVIDENCE)
            evidence = asker.evidence
        scored = snapshot.blend.score(evidence)
        allowed = np.array(snapshot.available)
        seen = snapshot.items.rows(sorted(evidence.seen))
        allowed[seen[seen >= 0]] = False
        best = best_items(scored.scores, allowed, K)
        scores = take_apart(snapshot.blend, scored, best).scores
        return tuple(snapshot.items[row] for row in best.tolist()), tuple(scores.tolist())


def _listed(each: Answered) -> Listed:
    items = each.body["items"]
    return tuple(item["item_id"] for item in items), tuple(item["score"] for item in items)


def _same(ours: Listed, theirs: Listed) -> bool:
    """Items whose scores are as good as equal may change places."""
    (ids, scores), (other_ids, other_scores) = ours, theirs
    if len(ids) != len(other_ids):
        return False
    close = np.allclose(scores, other_scores, rtol=_RELATIVE, atol=_ABSOLUTE)
    by_id = dict(zip(ids, scores, strict=True))
    return close and all(
        np.isclose(by_id.get(name, scores[-1]), score, rtol=_RELATIVE, atol=_ABSOLUTE)
        for name, score in zip(other_ids, other_scores, strict=True)
    )
