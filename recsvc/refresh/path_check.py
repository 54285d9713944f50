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
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from loaders.catalogue import Catalogue, Query, with_one_parameter
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
SAMPLE: Final = 8
"""Pieces of evidence."""
_FIRST_NODES = 10_000
"""The nodes that the sample is taken from: of a large graph the first ones."""
_MOST_ROWS = 200_000
_MOST_PATHS = 200
"""Paths of one pair that are added up."""
_TOLERANCE = 1e-4
"""Sums of float32 differ by less."""
_STRENGTH_LIMIT = 1e30
_SHOWN = 3
_LINE = re.compile(r"\bline (\d+), column (\d+)")

_Strengths = dict[str, dict[str, float]]
"""By evidence and item."""
_Pair = tuple[str, str]
ReadGraph = Callable[[], HeteroGraph]


@dataclass(slots=True)
class Sampled:
    """What a meta-path gave for a few pieces of evidence.

    Attributes:
        faults: all that is wrong with that.
        evidence: ids of those it was run for.
        rows: how many it gave.
        seconds: how long that took Neo4j.
    """

    faults: list[Fault] = field(default_factory=list[Fault])
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
    gateway: Gateway, queries: Catalogue, name: str, kinds: Sequence[str], graph: ReadGraph
) -> Sampled:
    """What is wrong with what a meta-path gives for a few pieces of evidence.

    Args:
        gateway: the graph.
        queries: with the meta-path among them, whose header has no faults.
        name: of the meta-path.
        kinds: of events, those that speak for an item.
        graph: the graph as arrays; asked for once, where a walk is declared.

    Raises:
        Neo4jAwayError: the graph does not answer.
    """
    parameters = {"kind": metapath_kind(name), "first": _FIRST_NODES, "sample": SAMPLE}
    evidence = gateway.run(queries["extract/evidence_sample"], **parameters)[0]["ids"]
    sample = _Sample(gateway, queries, name, kinds, evidence)
    found = Sampled(evidence=evidence)
    if not evidence:
        return found
    began = time.perf_counter()
    try:
        rows = sample.rows()
        found.seconds = time.perf_counter() - began
        found.rows = sum(len(row["rows"]) for row in rows)
        found.faults = sample.row_faults(rows)
        if found.faults:  # an item may have been deleted in between
            rows = sample.rows()
            found.faults = sample.row_faults(rows)
        if not found.faults:
            strengths = _strengths(rows)
            found.faults += sample.path_faults(strengths)
            found.faults += sample.walk_faults(strengths, graph)
    except _FaultError as stopped:
        found.faults += stopped.faults
    return found


class _FaultError(Exception):
    """A query cannot be run to its end; never leaves this module."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__(*faults)
        self.faults = faults


@dataclass(frozen=True, slots=True)
class _Sample:
    """A meta-path and the evidence that it is run for."""

    gateway: Gateway
    queries: Catalogue
    name: str
    kinds: Sequence[str]
    evidence: Sequence[str]

    @property
    def path(self) -> Query:
        return self.queries[f"metapaths/{self.name}"]

    def rows(self) -> list[Row]:
        """What the file gives, as it is."""
        whole = self.queries[f"extract/metapath_sample[{self.name}]"]
        parameters = {
            "evidence_ids": list(self.evidence), "kinds": list(self.kinds), "most": _MOST_ROWS,
        }  # fmt: skip
        rows = self._run(whole, self.path, parameters)
        if sum(len(row["rows"]) for row in rows) >= _MOST_ROWS:
            said = (
                f"{_MOST_ROWS:,} rows and more for {len(self.evidence)} evidence nodes: put a cap "
                "on every hop"
            )
            raise _FaultError(Fault(self.path.file, self.path.first_line, said))
        return rows

    def row_faults(self, rows: Sequence[Row]) -> list[Fault]:
        """What is wrong with rows, each kind of fault once, with examples."""
        asked = set(self.evidence)
        items = {item for row in rows for item, _ in row["rows"] if isinstance(item, str)}
        known = existing(self.gateway, (), items)[1]
        examples: dict[str, list[str]] = {}
        for row in rows:
            evidence = row["evidence_id"]
            count = Counter(repr(item) for item, _ in row["rows"])
            for item, strength in row["rows"]:
                pair = f"evidence {evidence!r}, item {item!r}"
                if said := _wrong(evidence, item, strength, asked, known):
                    examples.setdefault(said, []).append(f"{pair}: {strength!r}")
                if count[repr(item)] > 1:
                    said = "a pair stands in several rows: expected one, with the sum"
                    examples.setdefault(said, []).append(f"{pair}: {count[repr(item)]} rows")
        total = sum(len(row["rows"]) for row in rows)
        return [
            Fault(
                self.path.file, _return_line(self.path),
                f"{said} ({len(those):,} of {total:,} rows, such as "
                f"{'; '.join(dict.fromkeys(those[:_SHOWN]))})",
            )
            for said, those in examples.items()
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
        wrong = self._wrong_pairs(pairs, strengths)
        if wrong:  # the graph may have changed in between
            again = _strengths(self.rows())
            same = [p for p in pairs if _strength(again, p) == _strength(strengths, p)]
            wrong = self._wrong_pairs(same, again) if same else []
        if not wrong:
            return []
        drawn = self.queries[f"explain/{self.name}"]
        said = f"the paths do not add up to the strength of their pair: {'; '.join(wrong[:_SHOWN])}"
        return [Fault(drawn.file, _return_line(drawn), said)]

    def _wrong_pairs(self, pairs: Sequence[_Pair], strengths: _Strengths) -> list[str]:
        """The pairs, in words, whose paths add up to something else."""
        drawn = self.queries[f"explain/{self.name}"]
        whole = self.queries[f"serve/paths[{self.name}]"]
        parameters = path_parameters(pairs, None, self.kinds, limit=_MOST_PATHS)
        found: defaultdict[_Pair, list[float]] = defaultdict(list)
        for evidence, item, strength, _ in self._run(whole, drawn, parameters)[0]["paths"]:
            found[evidence, item].append(strength)
        wrong: list[str] = []
        for pair in pairs:
            expected, total = _strength(strengths, pair), sum(found[pair])
            cut = len(found[pair]) >= _MOST_PATHS and total < expected
            if not cut and not math.isclose(total, expected, rel_tol=_TOLERANCE):
                wrong.append(
                    f"evidence {pair[0]!r}, item {pair[1]!r}: {len(found[pair])} paths with "
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
        found = walk_rows(
            self.path.walk, graph, self.kinds, len(graph.items), starts=ids.rows(there)
        )
        wrong: dict[str, str] = {}
        for number, evidence in enumerate(there):
            row = found[[number]]
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
            _FaultError: it takes too long, or cannot be run.
        """
        text = with_one_parameter(whole.text)
        query = replace(whole, text=text, params={"all": "map"})
        given = taken(whole, parameters)
        try:
            return self.gateway.read(
                lambda transaction: transaction.run(query, all=given),
                timeout_seconds=TIME_LIMIT_SECONDS,
            )
        except QueryError as error:
            # The file's text begins on the second line of what it was put into.
            alone = plan_faults(self.gateway, file)
            raise _FaultError(*(alone or [_refused(file, error, above=1)])) from None
        except Neo4jTimeoutError:
            said = (
                f"stopped after {TIME_LIMIT_SECONDS:.0f} s for {len(self.evidence)} evidence "
                "nodes: put a cap on every hop"
            )
        except Neo4jServerError as error:  # such as one that needs more memory than there is
            said = str(error)
        raise _FaultError(Fault(file.file, file.first_line, said)) from None


def _wrong(evidence: Any, item: Any, strength: Any, asked: set[str], known: frozenset[str]) -> str:
    """What is wrong with a row alone."""
    if not isinstance(evidence, str) or evidence not in asked:
        return "evidence_id is not one of $evidence_ids"
    if not isinstance(item, str):
        return "item_id is not text"
    if item not in known:
        return "item_id is the id of no item"
    if strength is None or isinstance(strength, bool) or not isinstance(strength, int | float):
        return "strength is not a number"
    if not -_STRENGTH_LIMIT <= strength <= _STRENGTH_LIMIT:
        return "strength is not finite"
    return "strength is negative: expected 0 or more" if strength < 0 else ""


def _strengths(rows: Sequence[Row]) -> _Strengths:
    """The strengths above 0."""
    return {
        row["evidence_id"]: {item: float(strength) for item, strength in row["rows"] if strength}
        for row in rows
    }


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
