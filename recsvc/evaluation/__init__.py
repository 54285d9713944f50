"""Full ranking, metrics and splits."""
