"""What can go wrong with jobs.

::

    AlidadeError
      NotFoundError
        JobNotFoundError           404
      InvalidRequestError
        UnknownKindError           422
      ConflictError
        IdempotencyConflictError   409  same key, other request
        JobFinalError              409  the phase does not change any more
      AttemptLostError                  fenced off: another attempt took over, or the job was aborted
      WorkerLostError                   the worker of an attempt went silent; retried
      TaskError                         an execution that ended without a result:
        WorkerCrashedError              the child died by a signal; retried
        TaskCrashedError                the same, where the task said what a crash means; final
        TimeLimitError                  longer than its kind may take; final
        OutOfMemoryError                more memory than its kind may take; final
        TaskOutputError                 the child said something that makes no sense; final
"""

from __future__ import annotations

from astro_shared.errors import AlidadeError, ConflictError, InvalidRequestError, NotFoundError


class JobNotFoundError(NotFoundError):
    """There is no such job, or it is somebody else's."""

    code = "job_not_found"


class UnknownKindError(InvalidRequestError):
    """The service does not offer this kind of job."""

    code = "job_kind_unknown"


class IdempotencyConflictError(ConflictError):
    """The idempotency key was used for another request."""

    code = "idempotency_conflict"


class JobFinalError(ConflictError):
    """The job has ended and stays as it is."""

    code = "job_final"


class AttemptLostError(AlidadeError):
    """The row says that another attempt took over or the job has ended: nothing may be written for this one."""

    code = "attempt_lost"


class WorkerLostError(AlidadeError):
    """The worker of an attempt stopped reporting."""

    code = "worker_lost"
    retryable = True


class TaskError(AlidadeError):
    """An execution ended without a result."""

    code = "task_failed"


class WorkerCrashedError(TaskError):
    """The child died by a signal."""

    code = "worker_crashed"
    retryable = True


class TaskCrashedError(TaskError):
    """The child died by a signal inside a block whose crash has a meaning (`TaskContext.crash_means`)."""

    code = "task_crashed"

    def __init__(self, message: str, *, code: str, **attributes: object) -> None:
        super().__init__(message, **attributes)
        self.code = code


class TimeLimitError(TaskError):
    """The execution took longer than its kind may."""

    code = "time_limit"


class OutOfMemoryError(TaskError):
    """The execution needed more memory than its kind may have."""

    code = "out_of_memory"


class TaskOutputError(TaskError):
    """The child broke the protocol or named an output that is not a file of its own."""

    code = "task_output_invalid"
