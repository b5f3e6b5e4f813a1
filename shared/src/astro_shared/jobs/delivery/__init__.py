"""Deliveries: procrastinate's queue, which tells a worker to look at a job and knows nothing else.

- `queue`: announce, withdraw and drop deliveries, inside transactions of the ledger; the app that takes them.

procrastinate fetches under row locks, wakes workers by NOTIFY, schedules, beats, ends deliveries at shutdown and passes
on aborts. It does not know what a job is, and nothing is lost with a delivery: the sweeper announces again.
"""
