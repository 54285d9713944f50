"""The walk that a meta-path declares in its header: read here, computed in `recsvc.signals.walk`.

    (Item ^-0.7) <-[INTERACTED max 100]- (User ^-0.7) -[INTERACTED max 100]-> (Item ^-0.4)

See cypher/README.md for what it means.
"""

import re
from dataclasses import dataclass
from typing import Literal

from loaders.errors import CatalogueError

Label = Literal["User", "Item", "Category"]

ENDS: dict[str, tuple[Label, Label]] = {
    "INTERACTED": ("User", "Item"),
    "FOLLOWS": ("User", "User"),
    "PREFERS": ("User", "Category"),
    "IN_CATEGORY": ("Item", "Category"),
    "SUBCATEGORY_OF": ("Category", "Category"),
}
"""Start and end label of the types of relationships that a walk may follow."""

_LABELS: dict[str, Label] = {"User": "User", "Item": "Item", "Category": "Category"}
_MOST_HOPS = 4
_NODE = re.compile(r"\(\s*(?P<label>\w+)\s*(?:\^\s*(?P<exponent>-?\d+(?:\.\d+)?)\s*)?\)")
_HOP = re.compile(
    r"(?P<back><)?-\[\s*(?P<type>\w+)\s*(?:\*\s*(?P<levels>[1-9]\d*)|"
    r"(?P<max>\bmax\s+)?(?P<cap>\b[1-9]\d*)(?P<log>\s+log)?)\s*\]-(?P<on>>)?"
)


@dataclass(frozen=True, slots=True)
class Hop:
    """One step of a walk.

    Attributes:
        type: of the relationships that it follows.
        forward: along their direction, or against it.
        strongest: of several relationships of one pair only the strongest is followed, its weight
            being theirs; else each is followed.
        cap: how many of a node's are followed at most: the strongest, ties by the id they lead to.
        log: each counts log(1 + weight), 0 where the weight is below 0; else each counts 1.
        levels: where above 0, the hop leads to the node itself and to all that so many steps lead
            to at most, to each once, without a cap.
    """

    type: str
    forward: bool
    strongest: bool
    cap: int
    log: bool
    levels: int = 0

    @property
    def ends(self) -> tuple[Label, Label]:
        """The labels that it leads from and to."""
        start, end = ENDS[self.type]
        return (start, end) if self.forward else (end, start)


@dataclass(frozen=True, slots=True)
class Walk:
    """A declared meta-path.

    Attributes:
        hops: from the evidence to the item.
        exponents: one per node on the way. A node's degree to this power is a factor of the
            strength: the number of relationships of the hop by which it is left, of the last node
            of that by which it is reached.
    """

    hops: tuple[Hop, ...]
    exponents: tuple[float, ...]

    @property
    def start(self) -> Label:
        """The label of the evidence."""
        return self.hops[0].ends[0]

    @property
    def types(self) -> frozenset[str]:
        """All types of relationships that it follows."""
        return frozenset(hop.type for hop in self.hops)


def parse_walk(text: str) -> Walk:
    """Read a declaration.

    Raises:
        CatalogueError: it is not in the grammar, a type of relationship does not lead that way, or
            it does not end at an item.
    """
    labels: list[Label] = []
    exponents: list[float] = []
    hops: list[Hop] = []
    place = 0
    while True:
        node = _NODE.match(text, place)
        label = _LABELS.get(node["label"]) if node else None
        if node is None or label is None:
            raise _wrong(text[place:], "a node such as (User) or (Item ^-0.7)")
        labels.append(label)
        exponents.append(float(node["exponent"] or 0.0))
        place = _after_space(text, node.end())
        if place == len(text):
            break
        hops.append(_hop(text, place, label))
        place = _after_space(text, text.index("]", place) + (3 if hops[-1].forward else 2))
    _check_way(labels, hops)
    return Walk(tuple(hops), tuple(exponents))


def _hop(text: str, place: int, start: Label) -> Hop:
    match = _HOP.match(text, place)
    if match is None or bool(match["back"]) == bool(match["on"]):
        raise _wrong(text[place:], "a hop such as -[INTERACTED max 100]-> or <-[FOLLOWS 50]-")
    if match["type"] not in ENDS:
        raise _wrong(match["type"], f"one of {', '.join(ENDS)}, or no `walk` in the header")
    hop = Hop(
        match["type"], bool(match["on"]), bool(match["max"]), int(match["cap"] or 0),
        bool(match["log"]), int(match["levels"] or 0),
    )  # fmt: skip
    if hop.ends[0] != start:
        raise _wrong(text[place : match.end()], f"a hop that a {start} has")
    if hop.levels and hop.ends[0] != hop.ends[1]:
        raise _wrong(text[place : match.end()], "`*` where a hop may follow itself")
    return hop


def _check_way(labels: list[Label], hops: list[Hop]) -> None:
    if not 1 <= len(hops) <= _MOST_HOPS:
        raise _wrong(f"{len(hops)} hops", f"1 to {_MOST_HOPS}")
    for hop, label in zip(hops, labels[1:], strict=True):
        if hop.ends[1] != label:
            raise _wrong(f"({label}) after {hop.type}", f"({hop.ends[1]})")
    if labels[-1] != "Item":
        raise _wrong(f"({labels[-1]}) at the end", "(Item)")


def _after_space(text: str, place: int) -> int:
    return place + len(text[place:]) - len(text[place:].lstrip())


def _wrong(came: str, expected: str) -> CatalogueError:
    return CatalogueError(f"the walk has {came!r}: expected {expected}")
