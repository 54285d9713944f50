"""How fast the loaders are, each beside the naive way, in one run.

    python benchmarks/loaders.py                      all of it; about an hour on 2 cores
    python benchmarks/loaders.py extract ingest       some of it

`extract`, `ingest` and `write-back` work on the Gowalla graph (../shared/data/lightgcn-gowalla),
`bulk` and `memory` on made interactions. Every part starts an empty Neo4j of its own and removes
it. Several rounds each; medians.
"""

import argparse
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from _environment import describe

from benchmarks._loaders_bulk import bulk, memory
from benchmarks._loaders_gowalla import extract, ingest, write_back
from loaders.shared_files import checkout_root

PARTS: Mapping[str, Callable[[Path], None]] = {
    "extract": extract,
    "ingest": ingest,
    "write-back": write_back,
    "bulk": bulk,
    "memory": memory,
}


def main() -> None:
    """Run the parts that are named, or all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", help=", ".join(PARTS))
    chosen: list[str] = parser.parse_args().parts or list(PARTS)
    home = Path(os.environ.get("RECSVC_HOME", str((checkout_root() or Path.cwd()) / ".recsvc")))
    print(describe())
    if unknown := set(chosen) - set(PARTS):
        parser.error(f"no part {sorted(unknown)[0]!r}: expected some of {', '.join(PARTS)}")
    for name in chosen:
        print(f"\n{name}", flush=True)
        PARTS[name](home)


if __name__ == "__main__":
    main()
