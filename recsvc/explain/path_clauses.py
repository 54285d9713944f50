"""A path of the graph in words, one clause for each relationship."""

from collections.abc import Mapping, Sequence

_CLAUSES: Mapping[tuple[str, bool], str] = {
    ("INTERACTED", True): "who has {}",
    ("INTERACTED", False): "which {} has",
    ("FOLLOWS", True): "who follows {}",
    ("FOLLOWS", False): "whom {} follows",
    ("PREFERS", True): "who prefers {}",
    ("PREFERS", False): "which {} prefers",
    ("IN_CATEGORY", True): "which is in {}",
    ("IN_CATEGORY", False): "which holds {}",
    ("SUBCATEGORY_OF", True): "which is below {}",
    ("SUBCATEGORY_OF", False): "which is above {}",
}


def path_in_clauses(names: Sequence[str], steps: Sequence[tuple[str, bool]]) -> str:
    """A path as one clause after the other.

    Args:
        names: what each node is called, in the order of the path.
        steps: each relationship's type, and whether it leads from the earlier node to the later.
    """
    clauses = [
        _CLAUSES.get(step, "which is linked with {}").format(name)
        for step, name in zip(steps, names[1:], strict=True)
    ]
    return ", ".join([names[0], *clauses])
