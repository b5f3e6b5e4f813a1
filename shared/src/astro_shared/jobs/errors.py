"""What can go wrong with jobs.

::

    AlidadeError
      NotFoundError
        JobNotFoundError           404
      InvalidRequestError
        UnknownKindError           422
      ConflictError
        IdempotencyConflictError   409  same key, other request
      AttemptLostError                  another attempt took over, or the job was aborted
      WorkerLostError                   the worker stopped sending heartbeats; retried
      TaskError                         an execution that ended without a result:
        WorkerCrashedError              the child was killed by a signal; retried
        TaskCrashedError                the same, where the task said what a crash means; final
        TimeLimitError                  over its time limit; final
        OutOfMemoryError                over its memory limit; final
        TaskOutputError                 an invalid message or output; final
"""

from __future__ import annotations

from astro_shared.errors import AlidadeError, ConflictError, InvalidRequestError, NotFoundError


class JobNotFoundError(NotFoundError):
    """No such job, or it belongs to another user."""

    code = "job_not_found"


class UnknownKindError(InvalidRequestError):
    """The service has no job type of that name."""

    code = "job_kind_unknown"


class IdempotencyConflictError(ConflictError):
    """The idempotency key was used for another request."""

    code = "idempotency_conflict"


class AttemptLostError(AlidadeError):
    """Another attempt has taken over, or the job has ended; this attempt may not write."""

    code = "attempt_lost"


class WorkerLostError(AlidadeError):
    """The worker stopped sending heartbeats."""

    code = "worker_lost"
    retryable = True


class TaskError(AlidadeError):
    """The task ended without a result."""

    code = "task_failed"


class WorkerCrashedError(TaskError):
    """The child process was killed by a signal."""

    code = "worker_crashed"
    retryable = True


class TaskCrashedError(TaskError):
    """The child process crashed in a block that names the cause (`TaskContext.crash_means`)."""

    code = "task_crashed"

    def __init__(self, message: str, *, code: str, **attributes: object) -> None:
        super().__init__(message, **attributes)
        self.code = code


class TimeLimitError(TaskError):
    """The job exceeded its time limit."""

    code = "time_limit"


class OutOfMemoryError(TaskError):
    """The job exceeded its memory limit."""

    code = "out_of_memory"


class TaskOutputError(TaskError):
    """The task returned an invalid message or an output file outside its folder."""

    code = "task_output_invalid"
