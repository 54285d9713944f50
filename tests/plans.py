"""What Neo4j plans for a query."""

from typing import Any


def operators(plan: Any) -> set[str]:
    """Names of the operators of a plan."""
    name = plan["operatorType"].partition("@")[0]
    return {name, *(each for child in plan.get("children", []) for each in operators(child))}
