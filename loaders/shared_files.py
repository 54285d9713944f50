"""Where the files that travel beside the code are: in a checkout, or inside an installed wheel."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_CHECKOUT = _PACKAGE.parent


def checkout_root() -> Path | None:
    """The root of the checkout this package runs from, or None when it is installed."""
    return _CHECKOUT if (_CHECKOUT / "pyproject.toml").is_file() else None


def shared_path(relative: str) -> Path:
    """The path of a file or folder that travels with the code.

    Args:
        relative: path from the root of the repository, such as `cypher` or `deploy/neo4j`.

    Raises:
        FileNotFoundError: neither the checkout nor the installed package holds it.
    """
    for root in (checkout_root(), _PACKAGE / "_share"):
        if root is not None and (root / relative).exists():
            return root / relative
    raise FileNotFoundError(
        f"{relative!r} is neither in a checkout nor in the installed package at {_PACKAGE}: "
        "reinstall recsvc"
    )
