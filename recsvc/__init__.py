"""Decides: learn, score, rank, explain, answer, schedule.

What is public stands here; docs/python.md shows it. Each name is imported when it is first asked
for, so that `import recsvc` loads no library.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from loaders.datasets import open_source
    from loaders.errors import LoaderError
    from loaders.tables import graph_from_tables
    from recsvc.answer import Answer
    from recsvc.commands.connecting import open_engine, refresh_graph
    from recsvc.errors import RecsvcError
    from recsvc.evaluation.metrics import Evaluation
    from recsvc.recommend.engine import Engine
    from recsvc.recommend.query import RecommendationQuery, StatedEvidence
    from recsvc.refresh.options import RefreshOptions
    from recsvc.refresh.run_manifest import RunManifest
    from recsvc.settings import Settings, load_settings
    from recsvc.training.experiment import TrialOptions
    from recsvc.training.measure import evaluate_model

__all__ = [
    "Answer",
    "Engine",
    "Evaluation",
    "LoaderError",
    "RecommendationQuery",
    "RecsvcError",
    "RefreshOptions",
    "RunManifest",
    "Settings",
    "StatedEvidence",
    "TrialOptions",
    "evaluate_model",
    "graph_from_tables",
    "load_settings",
    "open_engine",
    "open_source",
    "refresh_graph",
]

_MODULES = {
    "loaders.datasets": ("open_source",),
    "loaders.errors": ("LoaderError",),
    "loaders.tables": ("graph_from_tables",),
    "recsvc.answer": ("Answer",),
    "recsvc.commands.connecting": ("open_engine", "refresh_graph"),
    "recsvc.errors": ("RecsvcError",),
    "recsvc.evaluation.metrics": ("Evaluation",),
    "recsvc.recommend.engine": ("Engine",),
    "recsvc.recommend.query": ("RecommendationQuery", "StatedEvidence"),
    "recsvc.refresh.options": ("RefreshOptions",),
    "recsvc.refresh.run_manifest": ("RunManifest",),
    "recsvc.settings": ("Settings", "load_settings"),
    "recsvc.training.experiment": ("TrialOptions",),
    "recsvc.training.measure": ("evaluate_model",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name from the module that has it."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    """The public names."""
    return __all__
