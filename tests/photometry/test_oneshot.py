"""A frame measured without a platform."""

import csv
import json

import pytest

from astro_shared.fits.tables import read_columns
from astro_shared.testing.frames import simulate_frame
from photometry_service.oneshot import run


@pytest.mark.slow
def test_every_source_of_the_table_is_in_the_text(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ALIDADE_DATA", str(tmp_path))
    simulate_frame(5, n_stars=300).write(tmp_path / "sky.fits")
    assert run('{"task": "photometer", "filename": "sky.fits"}') == 0
    answer = json.loads(capsys.readouterr().out)
    table = read_columns(tmp_path / "sky_sources.fits")
    with (tmp_path / "sky_sources.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(table["id"]) == answer["result"]["sources"] > 100
    assert [float(row["x"]) for row in rows] == table["x"].tolist()
    made = ("sources.fits", "sources.csv", "psf.fits", "header.txt", "depth_5sigma.fits")
    assert set(answer["files"]) == {f"sky_{name}" for name in made}


def test_a_setting_that_is_out_of_range_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ALIDADE_DATA", str(tmp_path))
    assert run('{"task": "photometer", "filename": "sky.fits", "cosmic_rays": {"niter": 99}}') == 64
    assert "cosmic_rays.niter" in json.loads(capsys.readouterr().out)["message"]


def test_a_file_that_is_no_frame_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ALIDADE_DATA", str(tmp_path))
    (tmp_path / "sky.fits").write_bytes(b"not a frame" * 1000)
    assert run('{"task": "photometer", "filename": "sky.fits"}') == 1
    assert json.loads(capsys.readouterr().out)["code"] == "unsupported_media"
