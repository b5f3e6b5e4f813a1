"""The ledger: one row per job in the service's database, and who may write to it.

- `schema`: the tables ``jobs`` and ``job_events``.
- `rows`: what a web process does: create (with an idempotency key), read, list, abort, follow.
- `claims`: what a worker does: claim the next attempt, renew its lease, report progress, complete, fail, hand back, and
  sweep up after workers that went silent.

An attempt has a number. Whoever writes for one names it, and the write holds only while the row says the same number
and ``EXECUTING`` (fencing): a worker that was frozen, cut off or overtaken writes nothing. Times are the database's.
A row and the delivery that announces it are written in one transaction.
"""
