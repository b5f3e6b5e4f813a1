"""Pixels and headers of good files are those that were written."""

import gzip
import io

import numpy as np
import pytest
from astropy.io import fits

from astro_shared.fits import FitsError, HduNotFoundError, ImageUnusableError, open_fits, read_frame, scan
from astro_shared.testing.fits_bytes import compressed_bytes, image_bytes, star_image

STARS = star_image((70, 90))


def written(tmp_path, data: bytes, name: str = "a.fits"):
    path = tmp_path / name
    path.write_bytes(data)
    return path


def hdus_bytes(*hdus) -> bytes:
    target = io.BytesIO()
    fits.HDUList(list(hdus)).writeto(target)
    return target.getvalue()


@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "i8", "f4", "f8"])
def test_every_pixel_type_is_read(tmp_path, dtype):
    values = (STARS % 200).astype(dtype)
    frame = read_frame(written(tmp_path, image_bytes(values)))
    assert np.array_equal(frame.data, values.astype(np.float32))
    assert not frame.mask.any()
    assert frame.shape == (70, 90)


def test_unsigned_integers_keep_their_values(tmp_path):
    values = (np.arange(64 * 64) * 16 % 65536).reshape(64, 64).astype(np.uint16)
    frame = read_frame(written(tmp_path, hdus_bytes(fits.PrimaryHDU(values))))
    assert np.array_equal(frame.data, values)


def test_large_unsigned_integers_lose_only_what_float32_must(tmp_path):
    values = (2**31 + np.arange(64 * 64) * 256).reshape(64, 64).astype(np.uint32)
    frame = read_frame(written(tmp_path, hdus_bytes(fits.PrimaryHDU(values))))
    assert np.array_equal(frame.data, values.astype(np.float32))


def test_scale_and_zero_are_applied(tmp_path):
    frame = read_frame(written(tmp_path, image_bytes(STARS, BSCALE=0.25, BZERO=-12.5)))
    assert np.allclose(frame.data, STARS * 0.25 - 12.5, rtol=1e-7)
    assert "BSCALE" not in frame.header and "BZERO" not in frame.header


def test_blank_pixels_are_masked_and_filled_with_the_median(tmp_path):
    values = STARS.copy()
    values[5:9, 5:9] = -999
    frame = read_frame(written(tmp_path, image_bytes(values, BLANK=-999)))
    assert frame.mask.sum() == 16 and frame.mask[5:9, 5:9].all()
    assert frame.data[6, 6] == np.median(STARS[~frame.mask].astype(np.float32))


def test_nan_infinity_and_absurd_values_are_masked(tmp_path):
    values = STARS.astype(np.float32)
    values[0, 0], values[1, 1], values[2, 2], values[3, 3] = np.nan, np.inf, -np.inf, 1e31
    frame = read_frame(written(tmp_path, image_bytes(values)))
    assert frame.mask.sum() == 4
    assert np.isfinite(frame.data).all() and frame.data.max() < 1e6


@pytest.mark.parametrize("codec", ["RICE_1", "GZIP_1", "GZIP_2", "PLIO_1", "HCOMPRESS_1"])
@pytest.mark.parametrize("tile", [None, (16, 90), (70, 90), (33, 40)])
def test_compressed_integers_are_exact(tmp_path, codec, tile):
    values = np.abs(STARS)
    frame = read_frame(written(tmp_path, compressed_bytes(values, codec, tile), "a.fits.fz"))
    assert np.array_equal(frame.data, values)
    assert frame.hdu_index == 1


@pytest.mark.parametrize("codec", ["RICE_1", "GZIP_2", "HCOMPRESS_1"])
def test_compressed_floats_are_as_astropy_reads_them(tmp_path, codec):
    values = STARS.astype(np.float32)
    values[4, 4] = np.nan
    data = compressed_bytes(values, codec)
    expected = fits.getdata(io.BytesIO(data), 1)
    frame = read_frame(written(tmp_path, data))
    assert np.array_equal(frame.data[~frame.mask], expected[np.isfinite(expected)].astype(np.float32))
    # HCOMPRESS spreads a NaN over its tile's quantisation; the others mask exactly that pixel
    assert frame.mask[4, 4] or codec == "HCOMPRESS_1"


def test_the_first_plane_of_a_cube_is_read_and_said(tmp_path):
    cube = np.stack([STARS, STARS[::-1], STARS[:, ::-1]])
    for data in (image_bytes(cube), compressed_bytes(cube, "RICE_1")):
        frame = read_frame(written(tmp_path, data))
        assert np.array_equal(frame.data, STARS)
        assert "3 planes" in " ".join(frame.warnings)


def test_gzip_is_known_by_content_not_by_name(tmp_path):
    frame = read_frame(written(tmp_path, gzip.compress(image_bytes(STARS)), "odd.dat"))
    assert np.array_equal(frame.data, STARS)


def test_a_tall_image_is_read_in_bands(tmp_path):
    values = np.arange(3000 * 2000, dtype=np.int32).reshape(3000, 2000)
    frame = read_frame(written(tmp_path, image_bytes(values)))
    assert np.array_equal(frame.data, values.astype(np.float32))


def extensions() -> bytes:
    primary = fits.PrimaryHDU(header=fits.Header([("EXPTIME", 30.0), ("GAIN", 9.0), ("CTYPE1", "RA---TAN")]))
    table = fits.BinTableHDU.from_columns([fits.Column("a", "PJ()", array=np.array([[1, 2], [3]], dtype=object))])
    sci = fits.ImageHDU(STARS, fits.Header([("GAIN", 2.0)]), name="SCI")
    quality = np.zeros_like(STARS)
    quality[3, 4], quality[5, 6] = 1, 4
    return hdus_bytes(primary, table, sci, fits.ImageHDU(quality, name="DQ"))


def test_the_first_image_is_found_behind_a_table(tmp_path):
    path = written(tmp_path, extensions())
    frame = read_frame(path)
    assert frame.hdu_index == 2
    assert [hdu.kind for hdu in scan(path).hdus] == ["image", "table", "image", "image"]


def test_an_extension_inherits_what_it_lacks_except_the_sky(tmp_path):
    header = read_frame(written(tmp_path, extensions())).header
    assert header["EXPTIME"] == 30.0
    assert header["GAIN"] == 2.0
    assert "CTYPE1" not in header


def test_hdus_are_found_by_number_and_name(tmp_path):
    path = written(tmp_path, extensions())
    assert read_frame(path, 2).hdu_index == read_frame(path, "sci").hdu_index == 2
    with open_fits(path) as opened:
        assert [image.name for image in opened.report.images] == ["SCI", "DQ"]
        assert opened.read(3, check=False).data.max() == 4
    for missing in (1, 0, 17, "ERR"):
        with pytest.raises(HduNotFoundError, match="2 SCI"):
            read_frame(path, missing)


def test_a_quality_plane_masks_the_chosen_bits(tmp_path):
    path = written(tmp_path, extensions())
    assert read_frame(path, mask_hdu="DQ").mask.sum() == 2
    mask = read_frame(path, mask_hdu="DQ", mask_bits=4).mask
    assert mask.sum() == 1 and mask[5, 6]


def test_a_quality_plane_of_another_shape_is_refused(tmp_path):
    data = hdus_bytes(fits.PrimaryHDU(STARS), fits.ImageHDU(STARS[:40], name="DQ"))
    with pytest.raises(HduNotFoundError, match="shape"):
        read_frame(written(tmp_path, data), mask_hdu="DQ")


def test_masters_may_be_constant(tmp_path):
    path = written(tmp_path, image_bytes(np.zeros((64, 64), np.int16)))
    with pytest.raises(ImageUnusableError) as caught:
        read_frame(path)
    assert caught.value.reason == "constant"
    assert read_frame(path, check=False).data.max() == 0


def test_the_storage_keywords_are_those_of_the_pixels_delivered(tmp_path):
    header = read_frame(written(tmp_path, compressed_bytes(STARS, "RICE_1"))).header
    assert (header["BITPIX"], header["NAXIS"], header["NAXIS1"], header["NAXIS2"]) == (-32, 2, 90, 70)
    assert not [k for k in header if k.startswith(("ZCMP", "TFORM", "ZTILE", "XTENSION"))]
    fits.PrimaryHDU(STARS.astype(np.float32), header).writeto(io.BytesIO(), output_verify="exception")


def test_an_address_is_no_file():
    from pathlib import Path

    with pytest.raises(FileNotFoundError):
        read_frame(Path("http://example.org/a.fits"))


def test_a_message_names_the_way_out_for_packed_files(tmp_path):
    with pytest.raises(FitsError, match="unpack it first"):
        read_frame(written(tmp_path, b"BZh9" + bytes(200)))
