"""Revisions of the astrometry database."""
