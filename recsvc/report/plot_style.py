"""How plots and pictures look. Nothing depends on colour: lines differ in style and marker."""

from typing import Any, Final

from matplotlib.rcsetup import cycler

INK: Final = "#111111"
GREY: Final = "#767676"
FILL: Final = "#c4c4c4"
STYLE: dict[str, Any] = {
    "svg.hashsalt": "recsvc",
    # Text stays text, which can be read out, searched and printed sharply.
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 11.0,
    # Names of events may hold dollar signs.
    "text.parse_math": False,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "hatch.color": "#666666",
    "hatch.linewidth": 0.6,
    "axes.prop_cycle": cycler(
        color=[INK, GREY] * 8,
        linestyle=["-", "--", "-.", ":"] * 4,
        marker=["o", "s", "^", "D", "v", "P", "X", "p"] * 2,
        markerfacecolor=[INK, "white"] * 4 + ["white", GREY] * 4,
    ),
}
