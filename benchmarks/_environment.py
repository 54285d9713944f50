"""The environment a benchmark ran in, printed with every result.

Every script imports this first: the folder of a script comes first on the import path, and in it
loaders.py would hide the package `loaders`.
"""

import os
import platform
import sys
from importlib import metadata
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])


def describe() -> str:
    """Processor, memory, system and the versions of what is measured."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    packages = ", ".join(
        f"{name} {metadata.version(name)}" for name in ("numpy", "torch", "gensim", "neo4j")
    )
    return (
        f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, {packages}"
    )
