"""The archive: everything in it, equal for equal files, packed fast and nothing packed twice."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np

from gateway_service.adapters.archive import write_archive


def test_files_are_packed_at_the_fastest_level_and_packed_ones_are_stored(tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(0, 20, 200_000).astype(">i2").tobytes()
    paths = {}
    for name in ("map.fits", "plots/image.png"):
        paths[name] = tmp_path / name.replace("/", "_")
        paths[name].write_bytes(values)
    write_archive(tmp_path / "a.zip", paths)
    packer = zlib.compressobj(1, zlib.DEFLATED, -15)
    fastest = len(packer.compress(values) + packer.flush())
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.read("map.fits") == values
        assert abs(archive.getinfo("map.fits").compress_size - fastest) < 100
        assert archive.getinfo("plots/image.png").compress_type == zipfile.ZIP_STORED


def test_equal_files_give_an_equal_archive(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id\n1\n")
    for name in ("one.zip", "two.zip"):
        write_archive(tmp_path / name, {"a.csv": path})
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
