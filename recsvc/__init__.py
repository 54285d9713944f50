"""Decides: learn, score, rank, explain, answer, schedule."""
