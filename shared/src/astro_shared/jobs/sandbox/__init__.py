"""The sandbox: one task in one short-lived process that is trusted with nothing.

- `fork_server`: a process with the libraries loaded and one thread, which forks, kills and reports.
- `fork_client`: the worker's side of it; starts it again when it dies.
- `child`: what a forked process does: limits on, secrets gone, one task, one answer.
- `execution`: the talk with one child, and the name of its end (crash, time, memory, error, output).
- `limits`, `wire`, `scratch`: bounds and the watch over memory, messages, folders that vanish with their process.

In: the name of a function, its request, files. Out: a small JSON result and files below a folder, both checked.
"""
