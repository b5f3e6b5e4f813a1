"""Durable jobs: what a service promised to do is a row, and survives whatever happens to the processes.

============  ==========================================================================  =========================
``ledger``    rows of jobs and their history, claims on them, leases, fencing: the truth  SQL, in the service's database
``delivery``  procrastinate: tells a worker to look at a row; may be late, double or lost  queue rows in the same database
``sandbox``   a fork server and its children: one task, its limits, how it ended           processes
``worker``    the process that takes deliveries, runs attempts and keeps leases            all three together
============  ==========================================================================  =========================

A service imports `job_types` (what it offers) and `api` in its web process, `worker` in its worker, and `task` in the
module that does the work; `service` puts a web process together. This package imports nothing by itself, so that a
child stays small. docs/jobs.md tells the life of a job.
"""
