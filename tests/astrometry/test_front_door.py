"""Headers from outside, through the front door to the world coordinates: repaired, or refused with a reason."""

import numpy as np
import pytest

from astro_shared.fits import read_frame
from astro_shared.testing.fits_bytes import image_bytes, star_image
from astro_shared.testing.fits_corpus.cards import SIP, SKY, WRONG_SKIES
from astrometry_service.algorithms.wcs.validation import WcsState, WcsValidation, validate_header

ARCSEC = 1 / 3600


def validated(folder, cards) -> WcsValidation:
    path = folder / "frame.fits"
    path.write_bytes(image_bytes(star_image(), **cards))
    return validate_header(read_frame(path).header, 64, 64)


@pytest.mark.parametrize("cards", WRONG_SKIES.values(), ids=WRONG_SKIES)
def test_what_can_not_be_believed_is_refused_with_a_reason(cards, tmp_path):
    found = validated(tmp_path, cards)
    assert found.state is WcsState.MALFORMED and found.problems


WITHOUT_SCALES = {k: v for k, v in SKY.items() if not k.startswith("CD")}
REPAIRED = {
    "sexagesimal": {**SKY, "CRVAL1": "00:40:00.0", "CRVAL2": "+20:00:00"},
    "sexagesimal with blanks": {**SKY, "CRVAL1": "00 40 00", "CRVAL2": "20 00 00.0"},
    "sexagesimal without quotes": {**SKY, "CRVAL1": b" 00:40:00.0 / RA", "CRVAL2": b" +20:00:00"},
    "numbers as text": {**SKY, "CRVAL1": "10.0", "CRVAL2": "20.0", "CRPIX1": "32.0", "CD1_1": "-2.8E-04"},
    "CD of zeros": {**SKY, "CD1_1": 0.0, "CD2_2": 0.0, "CDELT1": -2.8e-4, "CDELT2": 2.8e-4},
    "only CDELT and CROTA2": {**WITHOUT_SCALES, "CDELT1": -2.8e-4, "CDELT2": 2.8e-4, "CROTA2": 0.0},
    "PC beside CD": {**SKY, "PC1_1": 1.0, "PC1_2": 0.0, "PC2_1": 0.0, "PC2_2": 1.0, "CDELT1": 1.0, "CDELT2": 1.0},
    "too few dashes": {**SKY, "CTYPE1": "RA--TAN", "CTYPE2": "DEC-TAN"},
    "small letters": {**SKY, "CTYPE1": "ra---tan", "CTYPE2": "dec--tan"},
    "wild SIP": {**SIP, "A_ORDER": 30000, "B_ORDER": 30000, "A_2_0": 1e-9},
}


@pytest.mark.parametrize("cards", REPAIRED.values(), ids=REPAIRED)
def test_what_can_be_repaired_gives_the_sky_that_was_meant(cards, tmp_path):
    found = validated(tmp_path, cards)
    assert found.transform is not None, found.problems
    ra, dec = found.transform.pixel_to_sky(np.array([31.0]), np.array([31.0]))
    assert (ra[0], dec[0]) == pytest.approx((10.0, 20.0), abs=1e-6 * ARCSEC)
    assert found.scale_arcsec == pytest.approx(2.8e-4 * 3600, rel=1e-3)
