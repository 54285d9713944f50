"""Plots as SVG that stands inside a page. The only module that draws them.

The same plot gives the same text.
"""

import re
import warnings
from io import StringIO
from typing import Any
from xml.etree import ElementTree

from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.style import context
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from recsvc.report._parts import Bars, Intervals, Lines, Plot
from recsvc.report.plot_style import FILL, INK, STYLE

_SVG = "http://www.w3.org/2000/svg"
_SEPARATE_BARS = 30
"""More bars than this stand side by side, since gaps and hatches would run together."""
_LEGEND_INSIDE = 2
"""The names of more lines than this stand beside the plot, where they cover none."""
_STYLE: dict[str, Any] = STYLE | {
    # The paper is that of the page, which may be dark.
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "legend.frameon": False,
}


def draw(plot: Plot, identifier: str) -> str:
    """The plot as an `<svg>` element.

    Args:
        plot: what to draw.
        identifier: its id in the page, with which all ids inside it begin.
    """
    with context(_STYLE, after_reset=True), warnings.catch_warnings():
        # matplotlib measures text with a font that lacks some characters; a browser has them.
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        figure = Figure(figsize=(7.2, _height(plot)), layout="constrained")
        axes = figure.add_subplot()
        if isinstance(plot, Lines):
            _draw_lines(axes, plot)
        elif isinstance(plot, Intervals):
            _draw_intervals(axes, plot)
        elif plot.lying:
            _draw_lying(axes, plot)
        else:
            _draw_bars(axes, plot)
        text = StringIO()
        FigureCanvasSVG(figure).print_svg(text, metadata={"Date": None})
    return _embedded(text.getvalue(), plot, identifier)


def _height(plot: Plot) -> float:
    """In inches: a lying bar takes the same room whether there are few or many."""
    if isinstance(plot, Intervals):
        series = len(plot.series)
        return 1.6 + 0.2 * -(-series // 2) + max(0.4, 0.15 * series) * len(plot.names)
    if isinstance(plot, Lines):
        return max(3.6, 0.8 + 0.28 * len(plot.lines))
    return 1.4 + 0.35 * len(plot.counts) if plot.lying else 3.6


def _draw_lines(axes: Axes, plot: Lines) -> None:
    for name, points in plot.lines:
        x, y = zip(*points, strict=True)
        axes.plot(x, y, label=name, markersize=4, markevery=max(1, len(x) // 25))
    if plot.logarithmic:
        _share_axes(axes, plot)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(title=plot.title, xlabel=plot.x_label, ylabel=plot.y_label)
    if len(plot.lines) <= _LEGEND_INSIDE:
        axes.legend()
    else:
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))


def _share_axes(axes: Axes, plot: Lines) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(0.9, 1.1 * max(10, *(points[-1][0] for _, points in plot.lines)))
    axes.set_ylim(0.7 * min(0.1, *(points[-1][1] for _, points in plot.lines)), 1.2)
    for axis, shown in ((axes.xaxis, _number), (axes.yaxis, _percent)):
        axis.set_major_locator(LogLocator(numticks=10))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(shown))


def _draw_bars(axes: Axes, plot: Bars) -> None:
    if len(plot.counts) <= _SEPARATE_BARS:
        heights = range(len(plot.counts)), plot.counts
        axes.bar(*heights, width=0.85, color=FILL, edgecolor=INK, hatch="//")
    else:
        edges = [n - 0.5 for n in range(len(plot.counts) + 1)]
        axes.stairs(plot.counts, edges, fill=True, facecolor=FILL, edgecolor=INK, linewidth=0.8)
    axes.set_xticks([at for at, _ in plot.ticks], [text for _, text in plot.ticks])
    axes.set_xlim(-0.7, len(plot.counts) - 0.3)
    axes.grid(visible=False, axis="x")
    _count_axis(axes.yaxis)
    axes.set(title=plot.title, xlabel=plot.x_label, ylabel=plot.y_label)


def _draw_lying(axes: Axes, plot: Bars) -> None:
    axes.barh(range(len(plot.counts)), plot.counts, color=FILL, edgecolor=INK, hatch="//")
    axes.set_yticks([at for at, _ in plot.ticks], [text for _, text in plot.ticks])
    axes.margins(y=0.01)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    _count_axis(axes.xaxis)
    axes.set(title=plot.title, xlabel=plot.y_label, ylabel=plot.x_label)


def _draw_intervals(axes: Axes, plot: Intervals) -> None:
    spread = 0.3 if len(plot.series) < 3 else 0.7
    apart = spread / max(1, len(plot.series) - 1)
    for number, (name, estimates) in enumerate(plot.series):
        told = [(at, estimate) for at, estimate in enumerate(estimates) if estimate is not None]
        means = [mean for _, (mean, _, _) in told]
        reach = [
            [mean - low for _, (mean, low, _) in told],
            [high - mean for _, (mean, _, high) in told],
        ]
        places = [at - spread / 2 + apart * number for at, _ in told]
        axes.errorbar(means, places, xerr=reach, label=name, linestyle="none", capsize=3)
    axes.set_yticks(range(len(plot.names)), list(plot.names))
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set(title=plot.title, xlabel=plot.x_label)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.9 / _height(plot)), ncols=2)


def _count_axis(axis: Any) -> None:
    axis.set_major_locator(MaxNLocator(5, integer=axis.get_view_interval()[1] > 5))
    axis.set_major_formatter(FuncFormatter(_number))


def _number(value: float, _position: int) -> str:
    return f"{value:,.0f}" if value == round(value) else f"{value:,.4g}"


def _percent(value: float, _position: int) -> str:
    return f"{100 * value:.10g}%"


def _embedded(text: str, plot: Plot, identifier: str) -> str:
    """The figure alone, named, as wide as its place, with ids that no other plot has."""
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")
    root = ElementTree.fromstring(text)
    for metadata in root.findall(f"{{{_SVG}}}metadata"):
        root.remove(metadata)
    used = set(re.findall(r'(?:url\(|href=")#([^)"]+)', text))
    for element in root.iter():
        _rename(element, used, identifier)
    for attribute in ("width", "height", "version"):
        root.attrib.pop(attribute, None)
    root.set("id", identifier)
    root.set("role", "img")
    root.set("aria-labelledby", f"{identifier}-title {identifier}-description")
    for position, (name, said) in enumerate((("title", plot.title), ("desc", plot.description))):
        suffix = "description" if name == "desc" else name
        element = ElementTree.Element(f"{{{_SVG}}}{name}", {"id": f"{identifier}-{suffix}"})
        element.text = said
        root.insert(position, element)
    return ElementTree.tostring(root, encoding="unicode")


def _rename(element: ElementTree.Element, used: set[str], identifier: str) -> None:
    """Keep an id only where something refers to it, and make it the plot's own."""
    own = element.attrib.pop("id", None)
    if own in used:
        element.set("id", f"{identifier}-{own}")
    for name, value in element.attrib.items():
        if name.endswith("href") or "url(#" in value:
            element.set(name, re.sub(r"(^|url\()#", rf"\1#{identifier}-", value))
