"""Every file of the corpus ends as it must: with its code, or read, in time and without traces."""

import os
import time

import numpy as np
import pytest

from astro_shared.fits import FitsError, FitsLimits, read_frame, scan
from astro_shared.fits.limits import MIB
from astro_shared.testing.fits_corpus import codec_files, fits_corpus, flip_bits

CASES = fits_corpus()


@pytest.mark.parametrize(
    "case",
    [pytest.param(c, marks=pytest.mark.slow if c.big else (), id=f"{c.group} {c.name}") for c in CASES],
)
def test_file_ends_as_it_must(case, tmp_path):
    path, scratch = tmp_path / "case.fits", tmp_path / "scratch"
    scratch.mkdir()
    path.write_bytes(case.build())
    start = time.monotonic()
    code, warnings = "", ()
    try:
        frame = read_frame(path, scratch=scratch)
    except FitsError as error:
        code = error.code
        assert 400 <= error.status < 500
        assert 10 < len(error.message) < 400 and error.message.isascii()
    else:
        warnings = frame.warnings
        assert np.isfinite(frame.data).all()
        assert frame.data.dtype == np.float32 and frame.data.dtype.isnative
        assert frame.data.shape == frame.mask.shape == frame.shape
    assert time.monotonic() - start < 10
    assert code in (case.codes or {""})
    assert case.warns in " ".join(warnings)
    assert list(scratch.iterdir()) == []


def test_the_corpus_is_large_and_its_names_are_unique():
    assert len({c.name for c in CASES}) == len(CASES) >= 120
    assert {c.group for c in CASES} == {
        "truncated", "long header", "invalid header", "impossible size", "archive", "compressed tiles", "HCOMPRESS",
        "hostile text", "other media", "sky cards", "frame",
    }  # fmt: skip


def run_mutations(folder, seed: int, count: int) -> dict[str, int]:
    """Read damaged files in a child; outcomes by code. Anything but a typed error is named."""
    files = codec_files()
    names = sorted(files)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        for k in range(count):
            path = folder / "damaged.fits"
            path.write_bytes(flip_bits(np.random.default_rng([seed, k]), files[names[k % len(names)]]))
            start = time.monotonic()
            try:
                read_frame(path)
                outcome = "read"
            except FitsError as error:
                outcome = error.code
            except BaseException as error:  # noqa: BLE001 - what escapes is what the test is about
                outcome = f"{names[k % len(names)]} {k}: {error!r}"
            if time.monotonic() - start > 10:
                outcome = f"{names[k % len(names)]} {k}: slow"
            os.write(writer, f"{outcome[:200]}\n".encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as lines:
        outcomes = [line.strip() for line in lines]
    _, status = os.waitpid(child, 0)
    assert status == 0, f"the reader died with status {status} after {len(outcomes)} files"
    return {name: outcomes.count(name) for name in set(outcomes)}


TYPED = {
    "read", "fits_truncated", "fits_header_limit", "fits_header_invalid", "fits_size_mismatch", "archive_limit",
    "unsupported_media", "fits_corrupt", "image_unusable", "hdu_not_found",
}  # fmt: skip


def test_flipped_bits_end_in_a_typed_error_or_an_image(tmp_path):
    outcomes = run_mutations(tmp_path, seed=7, count=400)
    assert set(outcomes) <= TYPED
    assert sum(outcomes.values()) == 400
    # damage is noticed and harmless damage is not refused: both happen often
    assert outcomes["read"] > 40
    assert outcomes.get("fits_corrupt", 0) + outcomes.get("fits_header_invalid", 0) > 40


@pytest.mark.slow
def test_twenty_thousand_damaged_files(tmp_path):
    outcomes: dict[str, int] = {}
    for seed in range(100, 120):
        for name, n in run_mutations(tmp_path, seed=seed, count=1000).items():
            outcomes[name] = outcomes.get(name, 0) + n
    assert set(outcomes) <= TYPED
    assert sum(outcomes.values()) == 20_000


def test_limits_are_settings(tmp_path):
    path = tmp_path / "a.fits"
    path.write_bytes(codec_files()["plain int"])
    assert scan(path).images[0].shape == (64, 64)
    for limits, code in (
        (FitsLimits(max_cards=3), "fits_header_limit"),
        (FitsLimits(max_data_bytes=1000), "archive_limit"),
        (FitsLimits(max_pixels=1000), "image_unusable"),
        (FitsLimits(min_side_px=65), "image_unusable"),
    ):
        with pytest.raises(FitsError) as caught:
            read_frame(path, limits=limits)
        assert caught.value.code == code


def test_a_gzip_bomb_is_stopped_before_it_fills_the_disk(tmp_path, monkeypatch):
    import tempfile

    bomb = next(c for c in CASES if c.name == "gzip bomb of 4 GB")
    path = tmp_path / "bomb.fits.gz"
    path.write_bytes(bomb.build())
    opened = []
    real = tempfile.TemporaryFile

    def watched(**options):
        file = real(**options)
        opened.append(os.dup(file.fileno()))
        return file

    monkeypatch.setattr("astro_shared.fits.media.tempfile.TemporaryFile", watched)
    with pytest.raises(FitsError):
        scan(path, scratch=tmp_path)
    (descriptor,) = opened
    # 200 times the first quarter of a mebibyte that is read, and the piece that passes it
    assert os.fstat(descriptor).st_size <= 52 * MIB
    os.close(descriptor)
