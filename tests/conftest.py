"""Fixtures for all tests, and how Hypothesis works on a machine that others use too."""

from hypothesis import HealthCheck, settings

pytest_plugins = ["astro_shared.testing.postgres", "astro_shared.testing.ceph"]

settings.register_profile("shared machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared machine")
