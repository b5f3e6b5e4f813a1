"""PostgreSQL: engines with small pools, and migrations."""
