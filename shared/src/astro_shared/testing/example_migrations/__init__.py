"""Revisions of a service that stores nothing but jobs; tests use them, and they show what a service writes."""
