"""Revisions of the database of auth."""
