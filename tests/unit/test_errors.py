"""The error trees drawn in the docstrings are the real ones."""

import importlib
import pkgutil
import re
from types import ModuleType

import pytest

import loaders.errors
import recsvc.errors


def drawn(module: ModuleType) -> dict[str, str | None]:
    """Parent by class, as the tree in the module's docstring draws it."""
    parents: dict[str, str | None] = {}
    above: list[tuple[int, str]] = []
    for line in (module.__doc__ or "").splitlines():
        match = re.match(r"^    ([│ ]*(?:[├└]── )?)([A-Z]\w*Error)\b", line)
        if match is None:
            continue
        depth = len(match[1])
        while above and above[-1][0] >= depth:
            above.pop()
        parents[match[2]] = above[-1][1] if above else None
        above.append((depth, match[2]))
    return parents


def subclasses(base: type[Exception]) -> dict[str, str | None]:
    """Parent by class, as it is, of the public subclasses."""
    found: dict[str, str | None] = {}
    for child in base.__subclasses__():
        if not child.__name__.startswith("_"):
            found |= {child.__name__: base.__name__, **subclasses(child)}
    return found


@pytest.mark.parametrize(
    ("module", "package", "base"),
    [(loaders.errors, loaders, "LoaderError"), (recsvc.errors, recsvc, "RecsvcError")],
)
def test_tree_is_complete(module: ModuleType, package: ModuleType, base: str) -> None:
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
    assert drawn(module) == {base: None, **subclasses(getattr(module, base))}


@pytest.mark.parametrize("module", [loaders.errors, recsvc.errors])
def test_every_error_says_what_it_is(module: ModuleType) -> None:
    errors = [
        e for e in vars(module).values() if isinstance(e, type) and e.__module__ == module.__name__
    ]
    assert len(errors) > 5
    docs = [error.__doc__ for error in errors]
    assert None not in docs
    assert len(set(docs)) == len(docs)
