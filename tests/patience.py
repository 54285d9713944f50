"""Limits of the product in whose time a quiet machine does all, and a busy one leaves things out.

What a test asks is whether an answer is right: they are minutes in all tests, unless one is about
such a limit and says how long it is.
"""

import os
from collections.abc import Callable, Mapping
from importlib import import_module

_SETTINGS = {"RECSVC_REQUEST_TIMEOUT_SECONDS": "60", "RECSVC_WRITE_TIMEOUT_SECONDS": "120"}
_CONSTANTS = {
    "loaders.local_neo4j._java": (
        "_KILL_TIMEOUT_SECONDS", "_RECORD_TIMEOUT_SECONDS", "_VERSION_TIMEOUT_SECONDS",
    ),
    "recsvc.graph.transport": ("_PLANNING_SECONDS",),
    "recsvc.recommend.audience": ("_DRAWN_SECONDS", "_LIKELY_SECONDS", "_TOLD_SECONDS"),
    "recsvc.recommend.exposure": ("_SECONDS",),
    "recsvc.recommend.item_recourse": ("_SECONDS",),
}  # fmt: skip


def lengthen_settings() -> None:
    """Of this process, and of those that it starts."""
    for name, seconds in _SETTINGS.items():
        os.environ.setdefault(name, seconds)


def patient(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment with these settings too, but for those that it has."""
    return {**_SETTINGS, **environment}


def lengthen_constants(assign: Callable[[object, str, float], None] = setattr) -> None:
    """Of this process, and of those that it forks.

    Args:
        assign: gives a module's constant its value.
    """
    for module, names in _CONSTANTS.items():
        for name in names:
            assign(import_module(module), name, 60.0)
