"""Which files of which stage belong to the result of a reduction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from astro_shared.contracts import products
from gateway_service.domain.reductions import Reduction

PASSED_ON = frozenset(
    {
        products.HEADER, products.BACKGROUND, products.BACKGROUND_RMS, products.PSF, products.RESIDUAL, products.WCS,
        products.ASTROMETRY_REPORT, products.ASTROMETRY_WORDS, products.WCS_SIP,
    }
)  # fmt: skip
"""Written by a stage and handed to the person as they are, like everything below ``plots/`` and ``debug/``."""


def is_passed_on(name: str) -> bool:
    return name in PASSED_ON or name.startswith((products.PLOTS, "debug/"))


def result_files(reduction: Reduction) -> dict[str, Mapping[str, Any]]:
    """Object references by public name; empty until ``collect`` is done."""
    collect = reduction.stages[-1]
    if not collect.files:
        return {}
    passed = {name: ref for stage in reduction.stages[:-1] for name, ref in stage.files.items() if is_passed_on(name)}
    return {**passed, **collect.files}
