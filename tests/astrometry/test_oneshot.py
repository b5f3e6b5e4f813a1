"""A frame solved without a platform, from its pixels or from a source table."""

import csv
import json
import struct

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

from astro_shared.contracts.tables import TableSchema
from astro_shared.fits import FitsError
from astro_shared.fits.tables import read_columns, write_columns
from astro_shared.testing.frames import Camera, simulate_frame
from astro_shared.testing.optics import Distortion
from astro_shared.testing.source_lists import simulate_source_list
from astro_shared.testing.truth import solution_error
from astrometry_service.adapters.reference_file import ReferenceFile, read_reference_file
from astrometry_service.errors import ReferenceListError
from astrometry_service.oneshot import run


@pytest.mark.slow
def test_the_solution_is_the_truth(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ALIDADE_DATA", str(tmp_path))
    sky = simulate_frame(7, n_stars=600)
    sky.write(tmp_path / "sky.fits")
    sky.write_reference(tmp_path / "stars.fits")
    columns = read_columns(tmp_path / "stars.fits")
    with (tmp_path / "stars.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*(values.tolist() for values in columns.values()), strict=True))
    for reference in ("stars.fits", "stars.csv"):
        assert run(json.dumps({"task": "astrometer", "filename": "sky.fits", "reference": reference})) == 0
        answer = json.loads(capsys.readouterr().out)
        assert answer["result"]["astrometry"]["state"] == "calibrated"
        header = fits.getheader(tmp_path / "sky_wcs.fits")
        header["NAXIS"] = 2
        assert solution_error(WCS(header), sky.wcs, sky.data.shape).rms_axis_mas < 20.0


def test_reference_stars_of_a_disc_come_brightest_first(tmp_path):
    (tmp_path / "stars.csv").write_text(
        "RA,Dec,phot_g_mean_mag\n10.0,5.0,14\n10.001,5.0,12\n10.0,5.001,\n359.9,5.0,9\n10.002,5.0,13\n"
    )
    stars = ReferenceFile(read_reference_file(tmp_path / "stars.csv"), tmp_path)
    cone = {"ra_deg": 10.0, "dec_deg": 5.0, "radius_deg": 1.0, "mag_limit": None, "max_rows": 3}
    answer = stars.answer(cone)
    assert read_columns(tmp_path / answer["path"])["phot_g_mean_mag"].tolist() == [12.0, 13.0, 14.0]
    faint = read_columns(tmp_path / stars.answer(cone | {"mag_limit": 12.5})["path"])["phot_g_mean_mag"]
    assert faint[0] == 12.0 and np.isnan(faint[1]) and len(faint) == 2


def test_names_of_other_catalogues_are_understood(tmp_path):
    (tmp_path / "stars.csv").write_text("RAJ2000,DEJ2000,VTmag\n10.0,5.0,9\n10.1,5.0,8\n")
    answer = ReferenceFile(read_reference_file(tmp_path / "stars.csv"), tmp_path).answer(
        {"ra_deg": 10.0, "dec_deg": 5.0, "radius_deg": 1.0, "mag_limit": None, "max_rows": 1}
    )
    columns = read_columns(tmp_path / answer["path"])
    assert columns["ra"].tolist() == [10.1] and columns["VT_mag"].tolist() == [8.0]


def test_words_for_yes_and_no_are_read_as_such(tmp_path):
    """A text is true whatever it says: every star was a duplicate."""
    (tmp_path / "stars.csv").write_text("ra,dec,duplicated_source\n10.0,5.0,False\n10.1,5.0,True\n")
    assert read_reference_file(tmp_path / "stars.csv")["duplicated_source"].tolist() == [False, True]


@pytest.mark.parametrize("form", ["tabledata", "binary", "binary2"])
def test_a_reference_list_may_be_a_votable(tmp_path, form):
    names = np.array(["True", "False"])
    table = Table({"RA": [10.0, 10.1], "Dec": [5.0, 5.1], "V": [9.5, np.nan], "duplicated_source": names})
    table.write(tmp_path / "stars.vot", format="votable", tabledata_format=form)
    columns = read_reference_file(tmp_path / "stars.vot")
    assert columns["ra"].tolist() == [10.0, 10.1]
    assert columns["duplicated_source"].tolist() == [True, False]


def test_a_reference_votable_leads_nowhere(tmp_path):
    """astropy opened the address in a stream, whatever it was."""
    (tmp_path / "elsewhere").write_bytes(struct.pack(">dd", 10.0, 5.0))
    fields = '<FIELD name="ra" datatype="double"/><FIELD name="dec" datatype="double"/>'
    stream = f'<BINARY><STREAM href="{(tmp_path / "elsewhere").as_uri()}"/></BINARY>'
    document = f"<VOTABLE><RESOURCE><TABLE>{fields}<DATA>{stream}</DATA></TABLE></RESOURCE></VOTABLE>"
    (tmp_path / "stars.vot").write_text(document)
    with pytest.raises(ReferenceListError, match="not followed"):
        read_reference_file(tmp_path / "stars.vot")


def test_a_task_without_any_reference_says_how_to_give_one(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ALIDADE_DATA", str(tmp_path))
    monkeypatch.setattr("astrometry_service.adapters.index_folders.STANDARD_FOLDERS", ())
    simulate_frame(7, n_stars=100, camera=Camera(shape=(256, 256))).write(tmp_path / "sky.fits")
    assert run(json.dumps({"task": "astrometer", "filename": "sky.fits"})) == 1
    answer = json.loads(capsys.readouterr().out)
    assert "There are no reference stars" in answer["message"] and '"reference"' in answer["message"]


@pytest.mark.parametrize(
    ("name", "text", "word"),
    [
        ("stars.csv", "a,b\n1,2\n", "no column ra and no column dec"),
        ("stars.fits", "SIMPLE", "nothing of a FITS header"),
        ("stars.vot", "<html>", "can not be read as a list of stars"),
    ],
)
def test_a_list_that_can_not_be_used_is_one_line(tmp_path, name, text, word):
    (tmp_path / name).write_text(text)
    with pytest.raises((ReferenceListError, FitsError), match=word) as raised:
        read_reference_file(tmp_path / name)
    assert "\n" not in str(raised.value)


def solved(capsys, **task) -> dict:
    run(json.dumps({"task": "astrometer", "filename": "sky.fits", "reference": "stars.fits"} | task))
    answer = json.loads(capsys.readouterr().out)
    return answer["result"]["astrometry"] if "result" in answer else answer


def test_sep_on_the_frame_gives_places_for_a_table_that_is_given(tmp_path, monkeypatch, capsys):
    """It was refused: the task had the pixels and did not hand them on."""
    monkeypatch.setenv("ALIDADE_DATA", str(tmp_path))
    sky = simulate_frame(43, n_stars=300, camera=Camera(shape=(420, 420)))
    sky.write(tmp_path / "sky.fits")
    sky.write_reference(tmp_path / "stars.fits")
    stars = sky.truth[np.asarray(sky.truth["snr"]) > 50]
    columns = {"id": np.arange(7, 7 + len(stars)), "x": stars["x"], "y": stars["y"], "flux": stars["flux_e"]}
    write_columns(tmp_path / "table.fits", columns, TableSchema("sources", ()))
    for detector in ("sep", "photometry"):
        report = solved(capsys, sources="table.fits", astrometry={"detector": detector})
        assert report["solved"] and report["n_used"] > 30
        assert (report["n_sources"] == len(stars)) == (detector == "photometry")
        positions = read_columns(tmp_path / "sky_positions.fits")
        assert positions["id"].tolist() == columns["id"].tolist()
        if detector == "sep":
            assert np.median(np.abs(positions["dec"] - stars["dec"])) * 3.6e6 < 20.0


def test_a_field_of_forty_degrees_is_solved_by_the_list_that_is_given(tmp_path, monkeypatch, capsys):
    """Half of its diagonal is wider than any disc that the Gaia archive is asked for."""
    monkeypatch.setenv("ALIDADE_DATA", str(tmp_path))
    camera = Camera(shape=(700, 700), scale_arcsec=200.0, distortion=Distortion(cubic_px=1.0))
    sim = simulate_source_list(5, n_stars=700, camera=camera, dec_deg=30.0)
    header = sim.camera.wcs(sim.sky.ra_deg, sim.sky.dec_deg).to_header()
    header["DATE-OBS"] = sim.exposure.date_obs
    noise = np.random.default_rng(1).normal(100, 3, camera.shape).astype(np.float32)
    fits.PrimaryHDU(noise, header).writeto(tmp_path / "sky.fits")
    write_columns(
        tmp_path / "table.fits", sim.columns | {"id": np.arange(len(sim.columns["x"]))}, TableSchema("sources", ())
    )
    write_columns(tmp_path / "stars.fits", sim.reference_columns, TableSchema("reference", ()))
    report = solved(capsys, sources="table.fits", solve={"blind": False})
    assert report["solved"] and report["n_used"] > 200 and report["reference_name"] == "stars.fits"
