"""The graph as arrays, whole or in part, and as files.

Ids are sorted and edges ordered, so the same graph gives the same arrays. docs/extract.md says what
a `Selection` keeps and what the formats hold.
"""

from loaders.extract._details import ItemDetails, extract_details, metapath_rows
from loaders.extract._files import SavedGraph, extract_to_folder
from loaders.extract._formats import to_hetero_data, to_networkx
from loaders.extract._graph import extract_graph
from loaders.extract._reading import Progress
from loaders.extract._selection import Selection, k_core
from loaders.extract._texts import extract_texts

__all__ = [
    "ItemDetails",
    "Progress",
    "SavedGraph",
    "Selection",
    "extract_details",
    "extract_graph",
    "extract_texts",
    "extract_to_folder",
    "k_core",
    "metapath_rows",
    "to_hetero_data",
    "to_networkx",
]
