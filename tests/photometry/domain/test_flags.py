"""The flag table is complete and keeps the bits that catalogues already carry."""

import numpy as np
import pytest

from photometry_service.domain.flags import FLAG_DTYPE, FLAG_TABLE, SourceFlag, flag_names


def test_table_has_every_flag_once_in_the_order_of_bits():
    assert [row.flag for row in FLAG_TABLE] == sorted(SourceFlag)
    assert len({row.name for row in FLAG_TABLE}) == len(SourceFlag)
    assert all(row.meaning for row in FLAG_TABLE)


@pytest.mark.parametrize(
    ("flag", "bit"),
    [
        (SourceFlag.CROWDED, 0),
        (SourceFlag.SATURATED, 2),
        (SourceFlag.TRUNCATED, 3),
        (SourceFlag.NOT_CONVERGED, 8),
        (SourceFlag.COSMIC_RAY_IN_APERTURE, 10),
        (SourceFlag.FOUND_ON_RESIDUAL, 13),
        (SourceFlag.NOT_POINT_LIKE, 18),
    ],
)
def test_bits_are_those_of_the_catalogue(flag, bit):
    assert int(flag) == 1 << bit
    assert next(row.bit for row in FLAG_TABLE if row.flag is flag) == bit


def test_bits_six_and_seven_stay_free():
    assert not any(row.bit in (6, 7) for row in FLAG_TABLE)


def test_all_flags_fit_the_column():
    assert sum(SourceFlag) <= np.iinfo(FLAG_DTYPE).max


def test_names_of_a_value():
    assert flag_names(0) == []
    assert flag_names(int(SourceFlag.SATURATED | SourceFlag.USED_FOR_PSF)) == ["saturated", "used_for_psf"]
    assert flag_names(1 << 7) == ["bit7"]
