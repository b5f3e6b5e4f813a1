"""Durable jobs: a ledger in PostgreSQL, deliveries by procrastinate, work in children of a preloaded fork server.

A service imports `kinds` (what it offers), `ledger` and `api` in its web process, `worker` in its worker, and `task`
in the module that does the work. This package imports nothing by itself, so that a child stays small.
"""
