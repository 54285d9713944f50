"""The HTTP service (CONTRACT §5): `create_app` puts it together."""
