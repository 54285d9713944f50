"""The weighted sum of signals, and ranking by it."""
