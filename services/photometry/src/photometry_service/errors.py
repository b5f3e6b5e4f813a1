"""What can go wrong in photometry, by name.

::

    InvalidRequestError
    |-- ImageUnusableError      the pixels cannot be measured; says why
    |-- NoStarsError            nothing to measure
    |-- TooManySourcesError     more than the setting allows
    `-- ShapeMismatchError      arrays that should have one shape have two
    AlidadeError
    `-- TooFewCalibratorsError  no zero point; a normal end, not a failure
"""

from __future__ import annotations

from astro_shared.errors import AlidadeError, InvalidRequestError


class ImageUnusableError(InvalidRequestError):
    """The pixels cannot be measured; ``reason`` says why."""

    code = "image_unusable"


class NoStarsError(InvalidRequestError):
    """No star was found."""

    code = "no_stars"


class TooManySourcesError(InvalidRequestError):
    """More sources than `detection.max_sources`."""

    code = "too_many_sources"


class ShapeMismatchError(InvalidRequestError):
    """Arrays do not have the same shape."""

    code = "shape_mismatch"


class TooFewCalibratorsError(AlidadeError):
    """Too few calibrators for a zero point."""

    code = "too_few_calibrators"
    status = 422
