"""Structured logs: lines for people or JSON for machines, always with the request or job they belong to."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, Literal

import structlog

LogFormat = Literal["console", "json"]

_SECRET_NAME = re.compile(r"(password|secret|token|authorization|api_?key|cookie|credential|private)", re.IGNORECASE)
_CREDENTIALS_IN_URL = re.compile(r"(?<=://)[^/@\s]+(?=@)")
_OUR_TOKENS = re.compile(r"\b(ald_[a-z]+_)[\w-]+")
_BEARER = re.compile(r"\b(Bearer\s+)[\w.~+/=-]+", re.IGNORECASE)
_NOISY = ("procrastinate", "httpx", "httpcore", "asyncio", "matplotlib", "urllib3", "alembic", "stamina")


def configure_logging(*, service: str, log_format: LogFormat = "console", level: str = "INFO") -> None:
    """Send every log line of this process, ours and the libraries', to standard error in one format.

    Parameters
    ----------
    service
        Stands in every line.
    log_format
        ``console`` for people, ``json`` for machines (one object per line).
    level
        Lowest level that is written; libraries are heard from WARNING on.
    """
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _named(service),
        hide_secrets,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendering(log_format)],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return the logger of a module; call it as ``log.info("frame_measured", sources=512)``."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


@contextmanager
def bound(**facts: Any) -> Iterator[None]:
    """Add facts (``job_id``, ``request_id``) to every line logged inside the block, by this task or thread."""
    with structlog.contextvars.bound_contextvars(**facts):
        yield


def hide_secrets(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace values whose name says that they are secret, and credentials inside text."""
    for key, value in event.items():
        if _SECRET_NAME.search(key):
            event[key] = "***"
        elif isinstance(value, str):
            event[key] = _OUR_TOKENS.sub(r"\1***", _BEARER.sub(r"\1***", _CREDENTIALS_IN_URL.sub("***", value)))
    return event


def _named(service: str) -> Any:
    def add(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event.setdefault("service", service)
        return event

    return add


def _rendering(log_format: LogFormat) -> list[Any]:
    if log_format == "json":
        return [_tracebacks_without_values(), structlog.processors.JSONRenderer(default=str)]
    plain = structlog.dev.plain_traceback
    return [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]


def _tracebacks_without_values() -> Any:
    """Local variables hold passwords and tokens: they stay out of every log."""
    transformer = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    return structlog.processors.ExceptionRenderer(transformer)
