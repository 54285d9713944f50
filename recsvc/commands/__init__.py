"""What each command does; `recsvc.cli` puts them in order."""
