"""`train`, `evaluate` and `tune` on the command line."""
