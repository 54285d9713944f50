"""A page in a real browser. As a package, so that fixtures may last for all of its files."""
