"""How much a query reads."""

import neo4j


def hits(session: neo4j.Session, query: str, **parameters: object) -> int:
    """How often a query touches the store."""
    result = session.run(f"PROFILE {query}", **parameters)
    list(result)
    waiting, total = [result.consume().profile], 0
    while waiting:
        operator = waiting.pop()
        assert operator is not None
        total += operator["dbHits"]
        waiting += operator.get("children", [])
    return total
