"""The worker: takes deliveries, claims jobs, has their tasks run, stores what comes out, keeps its leases.

- `description`: what a service's worker consists of (`ServiceWorker`) and how workers run.
- `running`: the loops of one worker: deliveries, leases, sweep.
- `attempt`: one attempt: inputs fetched, task run in a child or handler awaited, outputs stored under its number.
- `callbacks`: telling whoever asked that a job has ended.
- `run`, `host`: several workers in one event loop, and that as a process.
"""
