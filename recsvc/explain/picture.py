"""An explanation as a picture: its paths in layers, and bars of what adds up to the score.

Readable in black and white: kinds of nodes differ in shape, relationships in the style of the line.
"""

import math
import warnings
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.style import context
from matplotlib.textpath import text_to_path

from loaders.files import whole_file
from recsvc.answer import Answer, Explanation, NodeRef, RankedItem
from recsvc.answer import Path as GraphPath
from recsvc.report.plot_style import FILL, INK, STYLE

_MARKERS = {"user": "o", "item": "s", "category": "D"}
_OTHER_MARKER = "^"
_LINES: dict[str, Any] = {
    "INTERACTED": "solid",
    "FOLLOWS": (0, (7, 3)),
    "IN_CATEGORY": (0, (1, 2)),
    "PREFERS": (0, (7, 2, 1, 2)),
}
_OTHER_LINE: Any = (0, (7, 2, 1, 2, 1, 2))
_BEND = 0.3
"""Of a step past a layer, which would go through the nodes there."""
_MOST_EVIDENCE = 10
_NODE_POINTS, _BAR_POINTS, _WORD_POINTS, _LINE_POINTS = 120, 160, 400, 840
"""The most room for the name of a node and of a bar, for a word and for a line above them."""
_LARGE = 13
_DOTS_PER_INCH = 150


@dataclass(frozen=True, slots=True)
class PlacedNode:
    """A node of the drawn graph.

    Attributes:
        node: what it is.
        layer: steps from the left.
        height: 0 at the top, 1 at the bottom.
    """

    node: NodeRef
    layer: int
    height: float


@dataclass(frozen=True, slots=True)
class DrawnStep:
    """A relationship of the drawn graph.

    Attributes:
        kind: its type.
        start: position of its start among the nodes.
        end: position of its end.
        contribution: of the paths that take it, added up.
    """

    kind: str
    start: int
    end: int
    contribution: float


def layered(paths: Sequence[GraphPath]) -> tuple[list[PlacedNode], list[DrawnStep]]:
    """All paths as one graph in layers: the user, what they did, who or what links, the item.

    A node that several paths go through stands once; people without an id are different people.
    The end of every path is in the last layer.
    """
    last = max((len(path.nodes) for path in paths), default=1) - 1
    place: dict[Any, int] = {}
    nodes: list[tuple[NodeRef, int]] = []
    steps: defaultdict[tuple[str, int, int], float] = defaultdict(float)
    for number, path in enumerate(paths):
        at: list[int] = []
        for position, node in enumerate(path.nodes):
            layer = last if position == len(path.nodes) - 1 else position
            key = (node.kind, node.id, None if node.id is not None else (number, position))
            if key not in place:
                place[key] = len(nodes)
                nodes.append((node, layer))
            at.append(place[key])
        for step in path.relationships:
            steps[step["type"], at[step["from"]], at[step["to"]]] += path.contribution
    in_layer: defaultdict[int, list[int]] = defaultdict(list)
    for index, (_, layer) in enumerate(nodes):
        in_layer[layer].append(index)
    placed = [
        PlacedNode(node, layer, (in_layer[layer].index(index) + 0.5) / len(in_layer[layer]))
        for index, (node, layer) in enumerate(nodes)
    ]
    return placed, [DrawnStep(*key, value) for key, value in steps.items()]


def by_evidence(explanation: Explanation) -> list[tuple[str, float]]:
    """What each piece of evidence adds over all signals, and the rest: together the score.

    The largest first in absolute value; the rest, which holds what is not listed, last.
    """
    total: defaultdict[tuple[str, str | None], float] = defaultdict(float)
    name: dict[tuple[str, str | None], str] = {}
    for part in explanation.contributions:
        key = part.evidence.kind, part.evidence.id
        total[key] += part.value
        name[key] = _name(part.evidence)
    order = sorted(total, key=lambda key: (-abs(total[key]), key))
    shown = [(name[key], total[key]) for key in order[:_MOST_EVIDENCE]]
    rest = explanation.remainder + sum(total[key] for key in order[_MOST_EVIDENCE:])
    return [*shown, ("everything else", rest)]


def write_picture(answer: Answer, file: Path) -> None:
    """Draw the explanation of the first item of an answer.

    Args:
        answer: with a full explanation.
        file: ends in `.svg` or `.png`.

    Raises:
        OSError: the file cannot be written.
    """
    (item,) = answer.items[:1]
    with context(STYLE, after_reset=True), warnings.catch_warnings():
        # matplotlib measures text with a font that lacks some characters; a viewer has them.
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        figure = _figure(answer, item)
        with whole_file(file) as part:
            if file.suffix == ".svg":
                about = {"Date": None, "Title": _title(answer)}
                FigureCanvasSVG(figure).print_svg(part, metadata=about)
            else:
                figure.set_dpi(_DOTS_PER_INCH)
                FigureCanvasAgg(figure).print_png(part)


def _figure(answer: Answer, item: RankedItem) -> Figure:
    explanation = item.explanation or Explanation("", (), item.score)
    nodes, steps = layered(explanation.paths or ())
    evidence = by_evidence(explanation)
    most = max((sum(n.layer == node.layer for n in nodes) for node in nodes), default=1)
    bars = len(item.signals) + len(evidence)
    figure = Figure(figsize=(13.0, max(5.5, 0.95 * most + 2.2, 0.3 * bars + 2.6)),
                    layout="constrained")  # fmt: skip
    grid = figure.add_gridspec(
        2, 2, width_ratios=(3, 2), height_ratios=(len(item.signals) + 1, len(evidence) + 1)
    )
    _draw_paths(figure.add_subplot(grid[:, 0]), nodes, steps)
    unit = f"part of the score ({item.score:.4g} points in all)"
    _draw_bars(figure.add_subplot(grid[0, 1]), "By signal", list(item.signals.items()), unit)
    _draw_bars(figure.add_subplot(grid[1, 1]), "By evidence", evidence, unit)
    lines = (*_lines(_title(answer)), *_lines(_subtitle(explanation)))
    figure.suptitle("\n".join(lines), fontsize=_LARGE)
    return figure


def _title(answer: Answer) -> str:
    item = answer.items[0]
    who = f"user {answer.user_id}" if answer.user_id is not None else "this evidence"
    return f"Why {item.title or item.item_id} for {who}: score {item.score:.4f}"


def _subtitle(explanation: Explanation) -> str:
    told = explanation.text
    if explanation.counterfactual is not None:
        names = " and ".join(_name(node) for node in explanation.counterfactual.without)
        told += f" Without {names} it would not be in the list."
    return told


def _name(node: NodeRef) -> str:
    if (
        node.id is None
    ):  # of a mapped graph a path may lead over what is no person, such as an order
        return "someone" if node.kind == "user" else node.kind
    return node.title or f"{node.kind} {node.id}"


def _width(text: str, size: float) -> float:
    """Of a text in points: letters of one number differ in it tenfold."""
    return text_to_path.get_text_width_height_descent(text, FontProperties(size=size), False)[0]


def _short(text: str, points: float, size: float) -> str:
    """A text, cut to the room there is."""
    if _width(text, size) <= points:
        return text
    length = bisect_left(range(len(text)), points, key=lambda n: _width(f"{text[:n]}…", size))
    return f"{text[: max(0, length - 1)]}…"


def _lines(text: str) -> list[str]:
    """A text in lines that fit above the plots."""
    lines = [""]
    for word in (_short(word, _WORD_POINTS, _LARGE) for word in text.split()):
        longer = f"{lines[-1]} {word}".strip()
        if _width(longer, _LARGE) <= _LINE_POINTS:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _amounts(values: Sequence[float]) -> list[str]:
    """Numbers to three digits of the largest; what is less than that is about 0."""
    largest = max(map(abs, values), default=0.0) or 1.0
    decimals = max(0, 2 - math.floor(math.log10(largest)))
    return [
        f"{value:+.{decimals}f}" if round(value, decimals) or not value else "≈ 0"
        for value in values
    ]


def _draw_paths(axes: Axes, nodes: Sequence[PlacedNode], steps: Sequence[DrawnStep]) -> None:
    axes.set_axis_off()
    axes.set_title("Strongest paths in the graph (numbers: part of the score by this way)")
    if not nodes:
        told = "No path leads here: embeddings, PageRank or\npopularity make the score."
        axes.text(0.5, 0.5, told, ha="center", va="center", transform=axes.transAxes)
        return
    largest = max((abs(step.contribution) for step in steps), default=0.0) or 1.0
    last = max(node.layer for node in nodes)
    for step in steps:
        _draw_step(axes, nodes[step.start], nodes[step.end], step, largest)
    told = [step for step in steps if last in (nodes[step.start].layer, nodes[step.end].layer)]
    amounts = _amounts([step.contribution for step in told])
    for step, amount in zip(told, amounts, strict=True):
        _tell_contribution(axes, nodes[step.start], nodes[step.end], amount)
    for node in nodes:
        _draw_node(axes, node, asked=node.layer in (0, last))
    axes.set_xlim(-0.35, last + 0.35)
    axes.set_ylim(1.02, -0.02)
    _draw_legend(axes, nodes, steps)


def _draw_step(
    axes: Axes, start: PlacedNode, end: PlacedNode, step: DrawnStep, largest: float
) -> None:
    axes.annotate(
        "", (end.layer, end.height), (start.layer, start.height),
        arrowprops={
            "arrowstyle": "-|>", "color": INK, "shrinkA": 13, "shrinkB": 13,
            "connectionstyle": f"arc3,rad={_bend(start, end)}",
            "linestyle": _LINES.get(step.kind, _OTHER_LINE),
            "linewidth": 0.8 + 2.2 * abs(step.contribution) / largest,
        },
    )  # fmt: skip


def _bend(start: PlacedNode, end: PlacedNode) -> float:
    """Away from the middle, which is where the nodes in between are."""
    if abs(start.layer - end.layer) < 2:
        return 0.0
    below = start.height + end.height > 1.0
    return _BEND if below == (start.layer < end.layer) else -_BEND


def _tell_contribution(axes: Axes, start: PlacedNode, end: PlacedNode, amount: str) -> None:
    """On the step, nearer to its left end, where lines are apart; above or below a bent one."""
    left, right = (start, end) if start.layer < end.layer else (end, start)
    share, shift = (0.0, (40.0, 9.0)) if _bend(start, end) else (0.42, (0.0, 0.0))
    at = (
        left.layer + share * (right.layer - left.layer),
        left.height + share * (right.height - left.height),
    )
    axes.annotate(amount, at, shift, textcoords="offset points", fontsize=9,
                  ha="center", va="center",
                  bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0})  # fmt: skip


def _draw_node(axes: Axes, node: PlacedNode, *, asked: bool) -> None:
    axes.plot(
        node.layer, node.height, marker=_MARKERS.get(node.node.kind, _OTHER_MARKER), markersize=18,
        markerfacecolor=FILL if asked else "white", markeredgecolor=INK,
        markeredgewidth=2.5 if asked else 1.2, zorder=3,
    )  # fmt: skip
    axes.annotate(
        _short(_name(node.node), _NODE_POINTS, 10), (node.layer, node.height), (0, -15),
        textcoords="offset points", ha="center", va="top", fontsize=10, zorder=4,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5},
    )  # fmt: skip


def _draw_legend(axes: Axes, nodes: Sequence[PlacedNode], steps: Sequence[DrawnStep]) -> None:
    kinds = sorted({node.node.kind for node in nodes})
    types = sorted({step.kind for step in steps})
    shapes = [
        Line2D([], [], linestyle="", marker=_MARKERS.get(kind, _OTHER_MARKER), markersize=10,
               markerfacecolor="white", markeredgecolor=INK, label=kind)
        for kind in kinds
    ]  # fmt: skip
    lines = [
        Line2D([], [], color=INK, marker="", linestyle=_LINES.get(kind, _OTHER_LINE), label=kind)
        for kind in types
    ]
    axes.legend(handles=[*shapes, *lines], loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=4,
                frameon=False)  # fmt: skip


def _draw_bars(axes: Axes, title: str, parts: Sequence[tuple[str, float]], unit: str) -> None:
    size = FontProperties().get_size_in_points()
    names = [_short(name, _BAR_POINTS, size) for name, _ in parts]
    sizes = [value for _, value in parts]
    hatch = ["//" if value < 0 else "" for value in sizes]
    colour = ["white" if value < 0 else FILL for value in sizes]
    bars = axes.barh(range(len(sizes)), sizes, color=colour, edgecolor=INK, hatch=hatch)
    axes.bar_label(bars, _amounts(sizes), padding=3, fontsize=9)
    axes.set_yticks(range(len(names)), names)
    axes.axvline(0.0, color=INK, linewidth=0.8)
    axes.margins(x=0.18)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    against = " (hatched: speaks against it)" if any(value < 0 for value in sizes) else ""
    axes.set(title=title + against, xlabel=unit)
