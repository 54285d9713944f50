"""Scenarios on the real service and a real Neo4j. As a package, so that its files share both."""
