"""Real frames and lists end as they should; ``make validate-frames`` runs more of them and writes the table."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from astro_shared.testing.components import needs
from astro_shared.testing.real_data import MISSING, find_real_data

SCRIPT = Path(__file__).with_name("real_frames.py")
INDEX = Path("/usr/share/astrometry/index-tycho2-07.littleendian.fits")
FRAMES = (
    "HATP-32171220013343",
    "panoptes_unsolved",
    "panoptes_solved",
    "nova_thumbnail",
    "l1448_13co",
    "M13_blue_0001",
    "lco_cpt1m_refcat_matched",
)


@pytest.mark.integration
@pytest.mark.timeout(1200)
@pytest.mark.skipif(find_real_data() is None, reason=MISSING)
@needs(INDEX.exists(), "apt-get install astrometry-data-tycho2")
def test_real_frames_end_as_they_should() -> None:
    ended = subprocess.run([sys.executable, str(SCRIPT), *FRAMES], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert f"{len(FRAMES)} of {len(FRAMES)} ended as they should" in ended.stdout
