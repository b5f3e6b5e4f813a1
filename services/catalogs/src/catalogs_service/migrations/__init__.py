"""Revisions of the catalogs database."""
