"""Scenarios: stored documents that say how the lists of one place of a shop are made."""
