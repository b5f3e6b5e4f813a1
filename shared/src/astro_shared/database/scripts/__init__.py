"""Alembic's environment, shared by all services."""
