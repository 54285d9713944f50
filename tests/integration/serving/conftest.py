"""The made graph, refreshed, and one service in front of it."""

from tests.conftest import WHOLE, shared_by_a_package

served, service = shared_by_a_package(WHOLE)
