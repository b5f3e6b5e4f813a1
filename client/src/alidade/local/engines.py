"""Solving engines of this machine, asked of the astrometry service's own command; works without a running platform."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from alidade.local.errors import LocalPlatformError
from astro_shared.contracts.astrometry import EnginesView

__all__ = ["local_engines", "run_astrometry_command"]

LIMIT_S = 60.0


def local_engines(sky_folder: Path, folders: Sequence[str]) -> EnginesView:
    """Engines and index files, with folders that were added and the all-sky patterns."""
    try:
        return EnginesView.model_validate_json(run_astrometry_command("engines", str(sky_folder), *folders))
    except ValidationError:
        raise LocalPlatformError("The astrometry service answered something unexpected.") from None


def run_astrometry_command(*arguments: str, limit_s: float = LIMIT_S) -> str:
    """Standard output of ``python -m astrometry_service.cli``; raises LocalPlatformError with its last word."""
    command = [sys.executable, "-P", "-m", "astrometry_service.cli", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=limit_s)
    except subprocess.TimeoutExpired:
        raise LocalPlatformError(f"The astrometry service did not answer in {limit_s:.0f} s.") from None
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1:] or ["no word"]
        crashed = "The astrometry service cannot be asked: " if "Traceback" in done.stderr else ""
        raise LocalPlatformError(f"{crashed}{said[0][:300]}")
    return done.stdout
