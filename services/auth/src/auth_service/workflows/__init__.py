"""Use cases of auth, one per file."""
