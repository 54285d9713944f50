"""What nodes say of themselves, for models that are trained on tables or on the graph."""

from collections.abc import Mapping
from typing import Any

from loaders.tables import Tables
from loaders.types import HeteroGraph
from recsvc.content.describe import Describing
from recsvc.content.options import ContentSource
from recsvc.refresh.options import CONTENT, HYBRID
from recsvc.training.fit import model_options


def content_source(models: Mapping[str, Mapping[str, Any]]) -> ContentSource | None:
    """What is encoded for some models; None where none asks for it.

    Args:
        models: the values of the options of each.

    Raises:
        SettingsError: there is no such option, or it does not take that value.
    """
    for name, values in models.items():
        if name not in (CONTENT, HYBRID):
            continue
        options: Any = model_options(name, values)
        if name == HYBRID:
            options = options.of_part(CONTENT) if CONTENT in options.models else None
        if isinstance(options, ContentSource):
            return options
    return None


def described_tables(
    graph: HeteroGraph, tables: Tables, describing: Describing | None
) -> HeteroGraph:
    """The graph of some tables, with vectors of what its nodes say of themselves where asked."""
    return graph if describing is None else describing.from_tables(graph, tables)
