"""Which files a command means, and where their results go."""

from __future__ import annotations

from pathlib import Path

import pytest

from alidade.frames import find_frames, stem


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.fits", "a"), ("a.FIT", "a"), ("a.fts", "a"), ("a.fits.gz", "a"), ("a.fit.gz", "a"), ("a.fits.fz", "a"),
        ("ngc7000.r.0001.fits", "ngc7000.r.0001"), ("HATP-32.FITS", "HATP-32"), (".fits", ".fits"), ("a.tar", "a"),
        ("a.fits.bz2", "a"), ("noname", "noname"),
    ],
)  # fmt: skip
def test_a_stem_is_the_name_without_a_known_suffix(name: str, expected: str) -> None:
    assert stem(name) == expected


def made(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"SIMPLE")
    return folder


def results(*arguments: object) -> list[str]:
    return [str(frame.result) for frame in find_frames([str(argument) for argument in arguments])]


def test_a_folder_means_every_frame_below_it_in_order(tmp_path: Path) -> None:
    made(tmp_path, "b.fits", "a.FIT", "n1/c.fits.fz", "notes.txt")
    assert results(tmp_path) == ["a", "b", "n1/c"]


def test_a_pattern_is_expanded_and_a_file_taken_once(tmp_path: Path) -> None:
    made(tmp_path, "a1.fits", "a2.fits", "b.fits")
    assert results(tmp_path / "a*.fits", tmp_path / "a1.fits") == ["a1", "a2"]


def test_what_does_not_exist_stays_to_be_reported(tmp_path: Path) -> None:
    made(tmp_path, "a.fits")
    found = find_frames([str(tmp_path / "missing.fits"), str(tmp_path / "a.fits"), str(tmp_path / "no*.fits")])
    assert [frame.path.name for frame in found] == ["missing.fits", "a.fits", "no*.fits"]


def test_a_name_with_brackets_that_exists_is_no_pattern(tmp_path: Path) -> None:
    made(tmp_path, "m31[1].fits")
    assert results(tmp_path / "m31[1].fits") == ["m31[1]"]


def test_the_same_stem_in_two_folders_keeps_the_folders(tmp_path: Path) -> None:
    made(tmp_path, "n1/a.fits", "n2/a.fits")
    assert results(tmp_path / "n1", tmp_path / "n2") == ["n1/a", "n2/a"]


def test_the_same_stem_in_one_folder_keeps_the_suffix(tmp_path: Path) -> None:
    made(tmp_path, "a.fits", "a.fits.gz", "a.fit")
    names = results(tmp_path)
    assert len(set(names)) == 3 and "a" in names
