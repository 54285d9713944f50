"""What is wrong with a meta-path, found before anything is made of it.

Its files are run for a few pieces of evidence, in transactions that cannot write, within a time
limit. What they give is compared with what the guide promises (docs/metapaths.md). Neo4j can also
plan them without running them, which takes it as long again.
"""

import math
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from loaders.catalogue import Catalogue, Query, planned_once
from loaders.errors import Fault, Neo4jServerError, Neo4jTimeoutError, QueryError
from loaders.extract import Selection, extract_graph
from loaders.gateway import Gateway, Row, taken
from loaders.types import HeteroGraph
from recsvc.graph.pasteable_cypher import path_parameters
from recsvc.signals.metapath import evidence_ids, metapath_kind
from recsvc.signals.walk import walk_rows
from recsvc.snapshot.deletion import existing

TIME_LIMIT_SECONDS: Final = 10.0
"""What the file may take for all pieces of evidence of the sample together."""
REFRESH_LIMIT_SECONDS: Final = 60.0
"""The same in a refresh: it waits for a busy Neo4j rather than blame a file that is sound."""
SAMPLE: Final = 8
"""Pieces of evidence."""
REFRESH_SAMPLES: Final = (SAMPLE, 1)
"""The same in a refresh: where the first number is late, the next one is tried."""
_FIRST_NODES = 10_000
"""The nodes that the sample is taken from: of a large graph the first ones."""
_MOST_ROWS = 200_000
_MOST_PATHS = 200
"""Paths of one pair that are added up."""
_ROUNDS = 3
"""How often paths are compared with strengths while somebody changes the graph."""
_TOLERANCE = 1e-4
"""Sums of float32 differ by less."""
_STRENGTH_LIMIT = 1e30
_SHOWN = 3
_LINE = re.compile(r"\bline (\d+), column (\d+)")

_Strengths = dict[str, dict[str, float]]
"""By evidence and item."""
_Pair = tuple[str, str]
_Row = tuple[Any, Any, Any]
"""Evidence, item and strength, whatever they are."""
ReadGraph = Callable[[], HeteroGraph]


@dataclass(slots=True)
class Sampled:
    """What a meta-path gave for a few pieces of evidence.

    Attributes:
        faults: what is wrong with that.
        left_out: what is wrong with rows that are left out wherever rows are read; all of them are
            not, or it is a fault. Data that somebody edited by hand may be the cause.
        late: what was stopped by the time limit, so that nothing is known of it.
        evidence: ids of those it was run for.
        rows: how many it gave.
        seconds: how long that took Neo4j.
    """

    faults: list[Fault] = field(default_factory=list[Fault])
    left_out: list[Fault] = field(default_factory=list[Fault])
    late: list[Fault] = field(default_factory=list[Fault])
    evidence: Sequence[str] = ()
    rows: int = 0
    seconds: float = 0.0


def plan_faults(gateway: Gateway, query: Query) -> list[Fault]:
    """What is wrong with the text of a meta-path, or of what draws its paths; nothing is run.

    Raises:
        Neo4jAwayError: the graph does not answer.
    """
    try:
        plan = gateway.plan(query)
    except QueryError as error:
        return [_refused(query, error)]
    faults: list[Fault] = []
    if plan.writes:
        faults.append(Fault(query.file, query.first_line, "it writes: a meta-path only reads"))
    if set(plan.columns) != set(query.returns):
        said = (
            f"it returns {', '.join(plan.columns) or 'nothing'}: the header declares "
            f"{', '.join(query.returns)}"
        )
        faults.append(Fault(query.file, _return_line(query), said))
    return faults


def sample_faults(
    gateway: Gateway,
    queries: Catalogue,
    name: str,
    kinds: Sequence[str],
    graph: ReadGraph,
    time_limit_seconds: float | None = None,
    sizes: Sequence[int] = (SAMPLE,),
) -> Sampled:
    """What is wrong with what a meta-path gives for a few pieces of evidence.

    Args:
        gateway: the graph.
        queries: with the meta-path among them, whose header has no faults.
        name: of the meta-path.
        kinds: of events, those that speak for an item.
        graph: the graph as arrays; asked for once, where a walk is declared.
        time_limit_seconds: for each query; None: `TIME_LIMIT_SECONDS`.
        sizes: how many pieces, the most first: the next is tried where a query is late.

    Raises:
        Neo4jAwayError: the graph does not answer.
    """
    parameters = {"kind": metapath_kind(name), "first": _FIRST_NODES, "sample": SAMPLE}
    evidence = gateway.run(queries["extract/evidence_sample"], **parameters)[0]["ids"]
    limit = TIME_LIMIT_SECONDS if time_limit_seconds is None else time_limit_seconds
    sampled = Sampled()
    for size in sizes:
        sample = _Sample(gateway, queries, name, kinds, evidence[:size], limit)
        sampled = _sampled(sample, graph)
        if not sampled.late:
            break
    return sampled


def _sampled(sample: "_Sample", graph: ReadGraph) -> Sampled:
    sampled = Sampled(evidence=sample.evidence)
    if not sample.evidence:
        return sampled
    began = time.perf_counter()
    try:
        rows = sample.rows()
        sampled.seconds, sampled.rows = time.perf_counter() - began, len(rows)
        read = sample.readable(rows, sampled)
        if sampled.faults or sampled.left_out:  # an item may have been deleted in between
            read = sample.readable(sample.rows(), sampled)
        if not sampled.faults:
            strengths = _strengths(read)
            sampled.faults += sample.path_faults(strengths)
            sampled.faults += sample.walk_faults(strengths, graph)
    except _LateError as stopped:
        sampled.late += stopped.faults
    except _FaultError as stopped:
        sampled.faults += stopped.faults
    return sampled


class _FaultError(Exception):
    """A query cannot be run to its end; never leaves this module."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__(*faults)
        self.faults = faults


class _LateError(_FaultError):
    """A query is stopped by its time limit."""


@dataclass(frozen=True, slots=True)
class _Sample:
    """A meta-path and the evidence that it is run for."""

    gateway: Gateway
    queries: Catalogue
    name: str
    kinds: Sequence[str]
    evidence: Sequence[str]
    time_limit_seconds: float

    @property
    def path(self) -> Query:
        return self.queries[f"metapaths/{self.name}"]

    def rows(self) -> list[_Row]:
        """What the file gives, as it is."""
        whole = self.queries[f"extract/metapath_sample[{self.name}]"]
        parameters = {
            "evidence_ids": list(self.evidence), "kinds": list(self.kinds), "most": _MOST_ROWS,
        }  # fmt: skip
        given = self._run(whole, self.path, parameters)
        rows = [(row["evidence_id"], item, value) for row in given for item, value in row["rows"]]
        if len(rows) >= _MOST_ROWS:
            said = (
                f"{_MOST_ROWS:,} rows and more for {len(self.evidence)} evidence nodes: put a cap "
                "on every hop"
            )
            raise _FaultError(Fault(self.path.file, self.path.first_line, said))
        return rows

    def readable(self, rows: Sequence[_Row], sample: Sampled) -> list[tuple[str, str, float]]:
        """The rows that are read; what is wrong is noted, each kind of fault once."""
        asked = set(self.evidence)
        items_there = existing(
            self.gateway, (), {item for _, item, _ in rows if isinstance(item, str)}
        )
        left_out: defaultdict[str, list[str]] = defaultdict(list)
        wrong: defaultdict[str, list[str]] = defaultdict(list)
        read: list[tuple[str, str, float]] = []
        for row in rows:
            if why := _not_read(*row, asked, items_there[1]):
                left_out[why].append(_shown(row))
            else:
                read.append(row)
        counts = Counter((evidence, item) for evidence, item, _ in read)
        for row in read:
            if row[2] < 0:
                wrong["strength is negative: expected 0 or more"].append(_shown(row))
            if counts[row[:2]] > 1:
                wrong["a pair stands in several rows: expected one, with the sum"].append(
                    _shown(row)
                )
        sample.left_out = self._told(left_out, len(rows))
        sample.faults = self._told(wrong, len(rows))
        if not read:
            sample.faults, sample.left_out = sample.left_out, []
        return read

    def _told(self, faults: Mapping[str, Sequence[str]], total: int) -> list[Fault]:
        return [
            Fault(
                self.path.file, _return_line(self.path),
                f"{said} ({len(examples):,} of {total:,} rows, such as "
                f"{'; '.join(dict.fromkeys(examples[:_SHOWN]))})",
            )
            for said, examples in faults.items()
        ]  # fmt: skip

    def path_faults(self, strengths: _Strengths) -> list[Fault]:
        """Pairs whose paths do not add up to their strength."""
        if f"explain/{self.name}" not in self.queries:
            return []
        pairs = [
            (evidence, item)
            for evidence, given in strengths.items()
            for item in _strongest_and_weakest(given)
        ]
        before = strengths
        for _ in range(_ROUNDS):
            wrong = self._wrong_pairs(pairs, before)
            if not wrong:
                return []
            # The graph may have changed since: what is the same before and after was so between.
            after = _strengths(self.rows())
            sure = [
                said for p, said in wrong.items() if _strength(after, p) == _strength(before, p)
            ]
            if sure:
                drawn = self.queries[f"explain/{self.name}"]
                told = "the paths do not add up to the strength of their pair"
                said = f"{told}: {'; '.join(sure[:_SHOWN])}"
                return [Fault(drawn.file, _return_line(drawn), said)]
            before = after
        return []

    def _wrong_pairs(self, pairs: Sequence[_Pair], strengths: _Strengths) -> dict[_Pair, str]:
        """The pairs whose paths add up to something else, with that in words."""
        drawn = self.queries[f"explain/{self.name}"]
        whole = self.queries[f"serve/paths[{self.name}]"]
        parameters = path_parameters(pairs, None, self.kinds, limit=_MOST_PATHS)
        strengths_of: defaultdict[_Pair, list[float]] = defaultdict(list)
        for evidence, item, strength, _ in self._run(whole, drawn, parameters)[0]["paths"]:
            strengths_of[evidence, item].append(strength)
        wrong: dict[_Pair, str] = {}
        for pair in pairs:
            expected, total = _strength(strengths, pair), sum(strengths_of[pair])
            cut = len(strengths_of[pair]) >= _MOST_PATHS and total < expected
            if not cut and not math.isclose(total, expected, rel_tol=_TOLERANCE):
                wrong[pair] = (
                    f"evidence {pair[0]!r}, item {pair[1]!r}: {len(strengths_of[pair])} paths with "
                    f"{total:.6g} of {expected:.6g}"
                )
        return wrong

    def walk_faults(self, strengths: _Strengths, graph: ReadGraph) -> list[Fault]:
        """Evidence for which the declared walk gives other rows than the text."""
        walk = self.path.walk
        if walk is None:
            return []
        wrong = self._differing(strengths, graph())
        if wrong:  # the graph may have changed in between
            later = extract_graph(self.gateway, selection=Selection(types=tuple(walk.types)))
            again = _strengths(self.rows())
            same = {one for one in wrong if again.get(one) == strengths.get(one)}
            wrong = {e: said for e, said in self._differing(again, later).items() if e in same}
        if not wrong:
            return []
        said = (
            f"the walk gives other rows than the text for {len(wrong)} of {len(self.evidence)} "
            f"evidence nodes: {'; '.join(list(wrong.values())[:_SHOWN])}"
        )
        return [self.path.fault(said, "walk")]

    def _differing(self, strengths: _Strengths, graph: HeteroGraph) -> dict[str, str]:
        """What differs, in words, by evidence."""
        ids = evidence_ids(graph)[metapath_kind(self.name)]
        there = [one for one in self.evidence if one in ids]
        assert self.path.walk is not None
        rows = walk_rows(
            self.path.walk, graph, self.kinds, len(graph.items), starts=ids.rows(there)
        )
        wrong: dict[str, str] = {}
        for number, evidence in enumerate(there):
            row = rows[[number]]
            walked = {
                graph.items[i]: float(v)
                for i, v in zip(row.indices.tolist(), row.data, strict=True)
            }
            # What the text reaches and the arrays lack came since they were read.
            given = {i: s for i, s in strengths.get(evidence, {}).items() if i in graph.items}
            for item in sorted(walked.keys() | given.keys()):
                values = walked.get(item, 0.0), given.get(item, 0.0)
                if not math.isclose(*values, rel_tol=_TOLERANCE, abs_tol=np.finfo(np.float32).tiny):
                    wrong[evidence] = (
                        f"evidence {evidence!r}, item {item!r}: {values[0]:.6g} by the walk, "
                        f"{values[1]:.6g} by the text"
                    )
                    break
        return wrong

    def _run(self, whole: Query, file: Query, parameters: Mapping[str, Any]) -> list[Row]:
        """Run what a file was put into, in a way that is planned once, whatever is asked.

        Raises:
            _LateError: it takes too long.
            _FaultError: it cannot be run.
        """
        query, given = planned_once(whole), taken(whole, parameters)
        try:
            return self.gateway.read(
                lambda transaction: transaction.run(query, all=given),
                timeout_seconds=self.time_limit_seconds,
            )
        except QueryError as error:
            # The file's text begins on the second line of what it was put into.
            alone = plan_faults(self.gateway, file)
            raise _FaultError(*(alone or [_refused(file, error, above=1)])) from None
        except Neo4jTimeoutError:
            said = (
                f"stopped after {self.time_limit_seconds:.0f} s for {len(self.evidence)} evidence "
                f"node{'s' * (len(self.evidence) > 1)}: put a cap on every hop"
            )
            raise _LateError(Fault(file.file, file.first_line, said)) from None
        except Neo4jServerError as error:  # such as one that needs more memory than there is
            said = str(error)
        raise _FaultError(Fault(file.file, file.first_line, said)) from None


def _not_read(
    evidence: Any, item: Any, strength: Any, asked: set[str], item_ids: frozenset[str]
) -> str:
    """Why a row is left out wherever rows are read; "" of one that counts."""
    if not isinstance(evidence, str) or evidence not in asked:
        return "evidence_id is not one of $evidence_ids"
    if not isinstance(item, str):
        return "item_id is not text"
    if item not in item_ids:
        return "item_id is the id of no item"
    if isinstance(strength, bool) or not isinstance(strength, int | float):
        return "strength is not a number"
    return "" if abs(strength) <= _STRENGTH_LIMIT else "strength is not finite"


def _shown(row: _Row) -> str:
    evidence, item, strength = row
    return f"evidence {evidence!r}, item {item!r}: {strength!r}"


def _strengths(rows: Sequence[_Row]) -> _Strengths:
    """The strengths above 0."""
    by_evidence: defaultdict[str, dict[str, float]] = defaultdict(dict)
    for evidence, item, strength in rows:
        number = isinstance(strength, int | float) and 0 < strength <= _STRENGTH_LIMIT
        if isinstance(evidence, str) and isinstance(item, str) and number:
            by_evidence[evidence][item] = float(strength)
    return by_evidence


def _strength(strengths: _Strengths, pair: _Pair) -> float:
    return strengths.get(pair[0], {}).get(pair[1], 0.0)


def _strongest_and_weakest(given: Mapping[str, float]) -> list[str]:
    ordered = sorted(given, key=lambda item: (-given[item], item))
    return list(dict.fromkeys([*ordered[:1], *ordered[-1:]]))


def _return_line(query: Query) -> int:
    """The line of the last RETURN, which says what comes out."""
    lines = query.text.splitlines()
    returns = [n for n, line in enumerate(lines) if line.lstrip().upper().startswith("RETURN")]
    return query.first_line + (returns[-1] if returns else 0)


def _refused(query: Query, error: QueryError, above: int = 0) -> Fault:
    """What Neo4j says of a text, by the line of its file."""
    said = str(error)
    place = _LINE.search(said)
    line = query.first_line + (int(place[1]) - 1 - above if place else 0)
    message = said.partition(": ")[2].splitlines()[0]
    return Fault(query.file, line, _LINE.sub(lambda at: f"line {line}, column {at[2]}", message))
