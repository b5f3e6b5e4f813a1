"""Fixtures for all tests."""

pytest_plugins = ["astro_shared.testing.postgres"]
