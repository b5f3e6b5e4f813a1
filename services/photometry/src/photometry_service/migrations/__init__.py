"""Revisions of the photometry database."""
