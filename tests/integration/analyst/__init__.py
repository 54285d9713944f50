"""What analysts ask. As a package, so that Last.fm is loaded once for all of its files."""
