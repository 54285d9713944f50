"""Neo4j as a request meets it: every query that a request or an operator asks."""
