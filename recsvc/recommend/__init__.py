"""One request, from evidence to an explained answer."""
