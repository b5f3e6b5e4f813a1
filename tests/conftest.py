"""Fixtures for all tests."""

pytest_plugins = ["astro_shared.testing.postgres", "astro_shared.testing.ceph"]
