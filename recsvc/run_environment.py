"""What a run may depend on besides its data and its options."""

import os
import platform
from importlib import metadata
from typing import Any, Final

_PACKAGES: Final = ("recsvc", "numpy", "scipy", "numba", "torch")


def environment(device: str) -> dict[str, Any]:
    """What a run may depend on besides its data and options."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "device": device,
        "packages": {name: metadata.version(name) for name in _PACKAGES if _installed(name)},
    }


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True
