"""What keeps the embedded platform from running, each in one sentence."""

from __future__ import annotations


class LocalPlatformError(Exception):
    """The message says what is wrong and what to do."""
