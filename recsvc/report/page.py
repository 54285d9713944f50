"""A report as one HTML file that asks nothing of any other host."""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import jinja2
from markupsafe import Markup

from loaders.files import write_bytes
from recsvc.report import Report
from recsvc.report._drawing import draw
from recsvc.report._parts import Cell, Plot, Section, Table
from recsvc.report.sections import sections

_TEMPLATE = "page.html.j2"
_MOST_DECIMALS = 5
"""Of numbers whose points stand below each other."""


def write_page(report: Report, path: Path) -> None:
    """Write the report as a page; the same report gives the same file.

    Raises:
        OSError: the file cannot be written.
    """
    write_sections("Data report", sections(report), path)


def write_sections(title: str, parts: Sequence[Section], path: Path) -> None:
    """Write a page of sections, with their plots.

    Raises:
        OSError: the file cannot be written.
    """
    write_bytes(path, page_text(title, parts).encode())


def page_text(title: str, parts: Sequence[Section]) -> str:
    """A page of sections, with their plots."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template(_TEMPLATE)
    return template.render(title=title, sections=parts, svg=_svg, shown=_shown)


def _svg(plot: Plot, identifier: str) -> Markup:
    # Safe as it is: an XML serializer wrote it, and escaped every text.
    return Markup(draw(plot, identifier))


def _shown(table: Table) -> list[list[str]]:
    """The cells as text, those of a column with as many decimals as one of them needs."""
    columns = [_in_line([row[n] for row in table.rows]) for n in range(len(table.columns))]
    return [[column[n] for column in columns] for n in range(len(table.rows))]


def _in_line(cells: Sequence[Cell]) -> list[str]:
    texts = [_text(cell) for cell in cells]
    small = [isinstance(cell, float) and abs(cell) < 1_000.0 for cell in cells]
    places = [
        len(f"{Decimal(text):f}".partition(".")[2])
        for text, of in zip(texts, small, strict=True)
        if of
    ]
    if not places or max(places) > _MOST_DECIMALS:
        return texts
    return [
        f"{cell:.{max(places)}f}" if of else text
        for cell, text, of in zip(cells, texts, small, strict=True)
    ]


def _text(cell: Cell) -> str:
    if cell is None:
        return "\N{EN DASH}"
    if isinstance(cell, float) and abs(cell) < 1_000.0:
        return f"{cell:.4g}"
    return cell if isinstance(cell, str) else f"{cell:,.0f}"
