"""Moves bulk data across the Neo4j border; decides nothing."""
