"""What the services tell each other of a frame."""

from __future__ import annotations

from typing import Any

import numpy as np
from astropy.io import fits

from astro_shared.contracts.photometry import FrameSummary
from astro_shared.contracts.settings import InputSettings
from astro_shared.fits import RawFrame
from astro_shared.fits.keywords import frame_facts
from astro_shared.fits.summary import summarise

CARDS = {"EXPTIME": 60.0, "FILTER": "r", "DATE-OBS": "2024-01-02T03:00:00", "SITELAT": 10.0, "SITELONG": 20.0}


def summary(**given: Any) -> FrameSummary:
    header = fits.Header(CARDS)
    raw = RawFrame(np.zeros((30, 40), np.float32), np.zeros((30, 40), bool), header, (), 2, (31, 41))
    return summarise(
        raw, frame_facts(header, InputSettings(**given)), "sky.fits", gain_e_per_adu=1.5, read_noise_e=5.0,
        saturation_e=None, noise_model="header", warnings=("a sentence",),
    )  # fmt: skip


def test_the_header_speaks_where_nothing_is_given() -> None:
    told = summary()
    assert (told.exposure_s, told.filter, told.latitude_deg, told.longitude_deg) == (60.0, "r", 10.0, 20.0)
    assert told.date_mid is not None and told.date_mid.startswith("2024-01-02T03:00:30")
    assert told.hdu == 2 and told.warnings == ("a sentence",)


def test_what_is_given_goes_before_the_header() -> None:
    told = summary(exposure_s=30.0, filter="V", latitude_deg=0.0, date_mid="2025-07-02T12:00:00Z")
    assert (told.exposure_s, told.filter, told.latitude_deg, told.longitude_deg) == (30.0, "V", 0.0, 20.0)
    assert told.date_mid is not None and told.date_mid.startswith("2025-07-02T12:00:00")
    assert told.epoch_jyear is not None and abs(told.epoch_jyear - 2025.5) < 0.01


def test_the_size_is_that_of_the_pixels() -> None:
    told = summary()
    assert (told.width_px, told.height_px) == (40, 30)


def test_it_says_where_the_date_is_from() -> None:
    assert (summary().epoch_source, summary().epoch_err_yr) == ("DATE-OBS", 0.0)
    assert summary(date_mid="2025-07-02T12:00:00Z").epoch_source == "request"
