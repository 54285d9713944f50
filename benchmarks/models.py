"""Speed of models and of evaluation, each beside a peer or the naive way, in one run.

    python benchmarks/models.py [lightgcn] [spectral] [evaluation]

Accuracy is measured by accuracy.py.
"""

import argparse
import importlib

from _environment import describe

PARTS = ("lightgcn", "spectral", "evaluation")


def main() -> None:
    """Run the parts that are named, or all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=PARTS)
    parts = parser.parse_args().parts
    print(describe(), flush=True)
    for part in parts:
        importlib.import_module(f"benchmarks._models_{part}").run()


if __name__ == "__main__":
    main()
