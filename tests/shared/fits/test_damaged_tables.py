"""Tables with a wrong byte here and there: read, or refused as damaged; nothing else."""

import io
import warnings

import numpy as np
import pytest
from astropy.io import fits

from astro_shared.fits import FitsError, read_frame
from astro_shared.fits.errors import READER_ERRORS, FitsCorruptError, damage_named
from astro_shared.fits.tables import read_columns

CARD_BYTES = list(b"0123456789ABJDPQE() -'")


def written(hdu) -> bytes:
    file = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(file)
    return file.getvalue()


def tables() -> dict[str, bytes]:
    numbers = fits.Column("ra", "D", array=np.linspace(0, 1, 50))
    lists = fits.Column("v", "PJ()", array=np.array([np.arange(i % 5) for i in range(50)], dtype=object))
    text = fits.Column("name", "8A", array=np.array(["abc"] * 50))
    pixels = np.arange(4096, dtype="i2").reshape(64, 64)
    return {
        "plain": written(fits.BinTableHDU.from_columns([numbers, text])),
        "lists": written(fits.BinTableHDU.from_columns([numbers, lists])),
        "tiles": written(fits.CompImageHDU(pixels)),
        "wavelet tiles": written(fits.CompImageHDU(pixels, compression_type="HCOMPRESS_1")),
    }


def damaged(content: bytes, seed: int) -> bytes:
    """A few bytes of the header and the rows of the extension changed."""
    rng, data = np.random.default_rng(seed), bytearray(content)
    for at in rng.integers(2880, min(len(data), 4 * 2880), rng.integers(1, 4)):
        data[at] = rng.choice(CARD_BYTES)
    return bytes(data)


@pytest.mark.parametrize("name", tables())
def test_a_damaged_table_is_read_or_refused(name, tmp_path):
    whole, path, codes = tables()[name], tmp_path / "a.fits", set()
    for seed in range(60):
        path.write_bytes(damaged(whole, seed))
        for read in (read_columns, read_frame):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    read(path)
                except FitsError as error:
                    codes.add(error.code)
    assert "fits_corrupt" in codes


@pytest.mark.parametrize("kind", READER_ERRORS)
def test_every_error_of_the_library_means_damage(kind):
    error = kind.__new__(kind)
    with pytest.raises(FitsCorruptError, match="The list can not be decoded") as raised, damage_named("The list"):
        raise error
    assert raised.value.code == "fits_corrupt"


def test_an_assertion_of_the_library_is_damage_to_the_decoder_of_tiles(tmp_path, monkeypatch):
    """It came out as an internal error."""

    def fails(*_arguments, **_options):
        raise AssertionError

    path = tmp_path / "a.fits"
    path.write_bytes(tables()["tiles"])
    monkeypatch.setattr("astro_shared.fits.pixels.fits.open", fails)
    with pytest.raises(FitsCorruptError, match="AssertionError"):
        read_frame(path)


def test_a_file_without_a_table_is_said_to_have_none(tmp_path):
    fits.PrimaryHDU(np.zeros((5, 5))).writeto(tmp_path / "a.fits")
    with pytest.raises(FitsCorruptError, match="holds no table"):
        read_columns(tmp_path / "a.fits")
