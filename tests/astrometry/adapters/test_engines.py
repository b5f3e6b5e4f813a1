"""Solving engines: what they are told, what is made of what they say, and how they are stopped."""

import itertools
import json
import math
import shutil
import stat
import textwrap
import threading
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
from astropy.io import fits

from astro_shared.science.tangent_plane import project
from astro_shared.testing.components import leave_out, needs
from astrometry_service.adapters.engine_answers import plane_from_cards, scale_limits_arcsec
from astrometry_service.adapters.engines import all_sky_status, local_engines, usable_engines
from astrometry_service.adapters.index_builder import build_index_files, index_scales
from astrometry_service.adapters.index_engine import IndexEngine
from astrometry_service.adapters.index_folders import IndexFile, IndexSkyStars, find_indexes, read_index_stars
from astrometry_service.adapters.nova import NovaEngine, submission
from astrometry_service.adapters.relayed_engine import RelayedEngine, answer_relayed
from astrometry_service.adapters.siril import SirilEngine, draw_stars, siril_script
from astrometry_service.adapters.sky_index_store import SkyIndexStore
from astrometry_service.adapters.solve_field import SolveFieldEngine, solve_field_arguments
from astrometry_service.algorithms.matching.sky_index import IndexOptions
from astrometry_service.domain.plane_affine import PlaneAffine
from astrometry_service.domain.solving import EngineAnswer, EngineStatus, SolveHints
from astrometry_service.domain.star_lists import SkyMap, SkyStars, StarList
from astrometry_service.errors import IndexBuildError

SHAPE = (1600, 2000)
SCALE = 3.0
HINTS = SolveHints(ra_deg=84.0, dec_deg=-5.0, radius_deg=2.0, scale_low_arcsec=2.9, scale_high_arcsec=3.1)
RNG = np.random.default_rng(4)
STARS = StarList.from_columns(RNG.uniform(0, 2000, 90), RNG.uniform(0, 1600, 90), RNG.uniform(1, 9, 90))
CARDS = {
    "CRVAL1": 84.0, "CRVAL2": -5.0, "CRPIX1": 1000.5, "CRPIX2": 800.5,
    "CD1_1": -SCALE / 3600, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": SCALE / 3600,
}  # fmt: skip


@pytest.fixture(scope="module")
def indexes():
    files = find_indexes().files
    if not files:
        leave_out("no index files of astrometry.net on this machine (apt-get install astrometry-data-tycho2)")
    return files


@pytest.fixture(scope="module")
def real_field(indexes):
    """Stars of the index itself on an exact TAN frame: (stars, true mapping)."""
    sky = IndexSkyStars(indexes).load()
    turn = math.radians(35.0)
    linear = SCALE / 3600 * np.array([[-math.cos(turn), math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    truth = PlaneAffine(np.column_stack([linear, -linear @ [999.5, 799.5]]), 84.0, -5.0)
    xi, eta = project(sky.ra_deg, sky.dec_deg, ra0_deg=84.0, dec0_deg=-5.0)
    near = np.flatnonzero((np.hypot(xi, eta) < 2) & np.isfinite(xi))
    x, y = truth.plane_to_pixel(xi[near], eta[near])
    on = (x > 0) & (x < 2000) & (y > 0) & (y < 1600)
    return StarList.from_columns(x[on], y[on], 10 ** (-0.4 * sky.mag[near][on])), truth


def assert_same_mapping(found, truth, tolerance_px):
    """Both mappings put the corners of the frame at the same place of the sky."""
    for x, y in ((0.0, 0.0), (1999.0, 0.0), (0.0, 1599.0), (1999.0, 1599.0)):
        back = truth.sky_to_pixel(*found.pixel_to_sky(x, y))
        assert np.hypot(back[0] - x, back[1] - y) < tolerance_px


def fake_program(folder, body, name="fake"):
    """An executable Python script."""
    path = folder / name
    path.write_text("#!/usr/bin/env python3\n" + textwrap.dedent(body))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.fixture
def some_index(tmp_path):
    return (IndexFile(tmp_path / "index-1.fits", 1, 20.0, 30.0, 10, 10, -1, 1),)


# ---- real engines


@pytest.mark.parametrize("hints", [HINTS, SolveHints()], ids=["with hints", "blind"])
def test_the_index_engine_finds_a_real_field_to_a_fraction_of_a_pixel(indexes, real_field, hints):
    pytest.importorskip("astrometry", reason="the package astrometry is not installed")
    stars, truth = real_field
    answer = IndexEngine(indexes).solve(stars, SHAPE, hints, limit_s=60)
    assert answer.outcome == "solved", answer
    assert answer.log_odds > 50 and answer.detail.startswith("index-")
    # a half-pixel convention error would show as 1.4 px
    assert_same_mapping(answer.plane, truth, 0.5)


@needs(shutil.which("solve-field") is not None, "solve-field is not installed")
def test_solve_field_finds_a_real_field_to_a_fraction_of_a_pixel(indexes, real_field):
    stars, truth = real_field
    answer = SolveFieldEngine(indexes).solve(stars, SHAPE, HINTS, limit_s=60)
    assert answer.outcome == "solved", answer
    assert answer.log_odds > 20
    assert_same_mapping(answer.plane, truth, 0.5)


def test_the_index_engine_is_stopped_at_its_limit(indexes):
    pytest.importorskip("astrometry", reason="the package astrometry is not installed")
    begun = time.monotonic()
    answer = IndexEngine(indexes).solve(STARS, SHAPE, SolveHints(), limit_s=0.5)
    assert answer.outcome in ("time_limit", "no_solution")
    assert time.monotonic() - begun < 5


def test_star_positions_of_an_index_agree_with_tycho(indexes):
    """Betelgeuse: 88.79294 +7.40706 (J2000, Hipparcos)."""
    sky = IndexSkyStars(indexes).load()
    apart = np.hypot(sky.ra_deg - 88.79294, sky.dec_deg - 7.40706) * 3600
    assert apart.min() < 1.0 and sky.mag[np.argmin(apart)] < 1
    assert (np.diff(sky.dec_deg) >= 0).all() and len(sky) > 100_000


def index_of_stars(path, *, count=40, words=3, scale=1e9, kind="<u4"):
    """Write the parts of an index file that hold its stars; returns their unit vectors."""
    vectors = np.random.default_rng(3).normal(size=(count, 3))
    vectors /= np.linalg.norm(vectors, axis=1)[:, None]
    bounds = np.array([-1.0, -1.0, -1.0, 1.0, 1.0, 1.0, scale])
    packed = ((vectors + 1.0) * 1e9).astype(kind)[:, :words]
    units = [fits.PrimaryHDU()]
    units[0].header["NSTARS"] = count
    for name, values in (
        ("kdtree_data_stars", packed),
        ("kdtree_range_stars", bounds),
        ("MAG", np.arange(count, dtype="f4")),
    ):
        raw = values.tobytes() if name != "MAG" else None
        column = (
            fits.Column(name, "E", array=values)
            if raw is None
            else fits.Column(name, f"{len(raw)}A", array=np.frombuffer(raw, dtype=f"S{len(raw)}"))
        )
        units.append(fits.BinTableHDU.from_columns([column]))
    fits.HDUList(units).writeto(path)
    return vectors


def test_what_is_written_is_read(tmp_path):
    vectors = index_of_stars(tmp_path / "index.fits")
    ra, dec, mag = read_index_stars(tmp_path / "index.fits")
    np.testing.assert_allclose(np.sin(np.radians(dec)), vectors[:, 2], atol=1e-8)
    np.testing.assert_allclose(np.cos(np.radians(dec)) * np.cos(np.radians(ra)), vectors[:, 0], atol=1e-8)
    np.testing.assert_array_equal(mag, np.arange(40))


@pytest.mark.parametrize("damage", [{"words": 2}, {"kind": "<u2"}, {"scale": 0.0}, {"scale": np.nan}, {"scale": 5e8}])
def test_an_index_whose_stars_are_not_what_its_header_says_is_passed_over(tmp_path, damage):
    index_of_stars(tmp_path / "bad.fits", **damage)
    index_of_stars(tmp_path / "good.fits", count=20)
    with pytest.raises(ValueError, match=r"bad\.fits"):
        read_index_stars(tmp_path / "bad.fits")
    files = [
        IndexFile(tmp_path / name, 1, 10.0, 20.0, stars, 1, -1, 1)
        for name, stars in (("bad.fits", 40), ("missing.fits", 30), ("good.fits", 20))
    ]
    assert len(IndexSkyStars(files).load()) == 20
    assert IndexSkyStars(files[:2]).load() is None


# ---- what is missing is said


def test_engines_that_are_not_there_say_why_and_how_to_install_them(tmp_path):
    statuses = {s.name: s for s in usable_engines([
        IndexEngine(()), SolveFieldEngine((), program="no-such-program"), SirilEngine(program="no-such-program"),
        NovaEngine(httpx.Client(), None),
    ])}  # fmt: skip
    assert set(statuses) == {"astrometry", "solve-field", "siril", "nova"}
    assert not any(s.usable for s in statuses.values())
    assert all(s.reason and s.how_to_install for s in statuses.values())
    assert "index" in statuses["astrometry"].reason or "not installed" in statuses["astrometry"].reason


def test_an_unusable_engine_answers_unavailable_in_no_time():
    answer = SolveFieldEngine((), program="no-such-program").solve(STARS, SHAPE, HINTS, limit_s=60)
    assert (answer.outcome, answer.seconds) == ("unavailable", 0.0)


def test_local_engines_come_in_their_order(tmp_path):
    assert [engine.name for engine in local_engines([str(tmp_path)])] == ["astrometry", "solve-field", "siril"]


def test_a_field_that_no_index_serves_is_told_by_its_size(some_index):
    pytest.importorskip("astrometry", reason="the package astrometry is not installed")
    hints = SolveHints(scale_low_arcsec=0.01, scale_high_arcsec=0.011)
    answer = IndexEngine(some_index).solve(STARS, SHAPE, hints, limit_s=5)
    assert answer.outcome == "unavailable" and "no index file for fields of 0" in answer.detail


def test_a_broken_index_ends_with_an_error_not_with_us(some_index):
    pytest.importorskip("astrometry", reason="the package astrometry is not installed")
    some_index[0].path.write_bytes(b"SIMPLE  =                    T" + b" " * 5000)
    answer = IndexEngine(some_index).solve(STARS, SHAPE, HINTS, limit_s=20)
    assert answer.outcome == "error" and answer.detail


@pytest.mark.parametrize("engine", [IndexEngine, SolveFieldEngine])
def test_three_stars_are_not_sent_to_an_engine(engine, some_index, tmp_path):
    solver = engine(some_index)
    if not solver.status().usable:
        leave_out(solver.status().reason)
    answer = solver.solve(STARS.brightest(3), SHAPE, HINTS, limit_s=5)
    assert (answer.outcome, answer.detail) == ("no_solution", "3 stars, need 4")


# ---- solve-field


def test_solve_field_arguments_are_a_list_with_the_hints(tmp_path):
    arguments = solve_field_arguments(SHAPE, HINTS, tmp_path, 30)
    pairs = dict(itertools.pairwise(arguments))
    assert (pairs["--width"], pairs["--height"]) == ("2000", "1600")
    assert (pairs["--scale-low"], pairs["--scale-high"], pairs["--scale-units"]) == ("2.9", "3.1", "arcsecperpix")
    assert (float(pairs["--ra"]), float(pairs["--dec"]), pairs["--radius"]) == (84.0, -5.0, "2")
    assert pairs["--dir"] == pairs["--temp-dir"] == str(tmp_path)
    assert "--ra" not in solve_field_arguments(SHAPE, SolveHints(), tmp_path, 30)


def test_solve_field_reads_the_wcs_and_gives_stars_counted_from_one(tmp_path, some_index):
    program = fake_program(tmp_path, f"""
        import sys
        from pathlib import Path
        folder = Path(sys.argv[sys.argv.index("--dir") + 1])
        assert Path.cwd() == folder
        cards = {CARDS!r}
        text = "SIMPLE  =                    T".ljust(80) + "BITPIX  =                    8".ljust(80)
        text += "NAXIS   =                    0".ljust(80)
        text += "".join(f"{{key:8}}= {{value:20.14G}}".ljust(80) for key, value in cards.items()) + "END"
        (folder / "stars.wcs").write_text(text.ljust(2880))
        print("  log-odds ratio 94.3 (8e+40), 35 match")
    """)  # fmt: skip
    answer = SolveFieldEngine(some_index, program=program, scratch=tmp_path).solve(STARS, SHAPE, HINTS, limit_s=10)
    assert answer.outcome == "solved", answer
    assert answer.log_odds == 94.3
    ra, dec = answer.plane.pixel_to_sky(999.5, 799.5)
    assert (ra, dec) == (pytest.approx(84.0, abs=1e-9), pytest.approx(-5.0, abs=1e-9))
    assert answer.plane.parity == -1


def test_a_program_that_hangs_is_killed_with_its_children(tmp_path, some_index):
    program = fake_program(tmp_path, """
        import subprocess, sys, time
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
        open("child.pid", "w").write(str(child.pid))
        time.sleep(100)
    """)  # fmt: skip
    pids = []

    begun = time.monotonic()
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    def note():
        for _ in range(200):
            pids.extend(int(p.read_text() or 0) for p in scratch.glob("*/child.pid"))
            if pids:
                return
            time.sleep(0.01)

    thread = threading.Thread(target=note)
    thread.start()
    answer = SolveFieldEngine(some_index, program=program, scratch=scratch).solve(STARS, SHAPE, HINTS, limit_s=0.6)
    thread.join()
    assert answer.outcome == "time_limit" and time.monotonic() - begun < 6
    assert pids
    for _ in range(200):  # the kernel takes a moment to end it
        if not _alive(pids[0]):
            break
        time.sleep(0.01)
    assert not _alive(pids[0])
    assert not list(scratch.iterdir())


def _alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_a_program_that_fails_is_quoted(tmp_path, some_index):
    program = fake_program(tmp_path, "import sys; print('no such column'); sys.exit(3)")
    answer = SolveFieldEngine(some_index, program=program).solve(STARS, SHAPE, HINTS, limit_s=10)
    assert answer.outcome == "error" and answer.detail == "ended with code 3: no such column"


def test_a_program_knows_no_home_but_its_scratch_folder(tmp_path, some_index, monkeypatch):
    monkeypatch.setenv("ALIDADE_SECRET", "s3cret")
    program = fake_program(tmp_path, """
        import os, sys
        assert os.environ["HOME"] == os.environ["TMPDIR"] == os.getcwd()
        print(sorted(os.environ)); sys.exit("ALIDADE_SECRET" in os.environ)
    """)  # fmt: skip
    answer = SolveFieldEngine(some_index, program=program).solve(STARS, SHAPE, HINTS, limit_s=10)
    assert answer.outcome == "no_solution", answer


# ---- nova


class FakeNova:
    """The service's answers, scripted; keeps what it was sent."""

    def __init__(self, waits=1, job_state="success", wcs=None, login=None):
        self.waits, self.job_state, self.login = waits, job_state, login
        self.wcs = wcs if wcs is not None else fits.Header(list(CARDS.items())).tostring().encode()
        self.sent, self.asked = [], []

    def __call__(self, request):
        path = request.url.path
        self.asked.append(path)
        if request.method == "POST":
            fields = dict(httpx.QueryParams(request.content.decode()))
            self.sent.append(json.loads(fields["request-json"]))
        if path == "/api/login":
            return httpx.Response(200, json=self.login or {"status": "success", "session": "S"})
        if path == "/api/upload":
            return httpx.Response(200, json={"status": "success", "subid": 7})
        if path == "/api/submissions/7":
            self.waits -= 1
            return httpx.Response(200, json={"jobs": [None] if self.waits >= 0 else [11]})
        if path == "/api/jobs/11":
            return httpx.Response(200, json={"status": self.job_state})
        if path == "/wcs_file/11":
            return httpx.Response(200, content=self.wcs)
        return httpx.Response(404)


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += max(seconds, 0.001)


def nova(handler, **options):
    clock = Clock()
    client = httpx.Client(transport=httpx.MockTransport(handler))
    return NovaEngine(client, "key", enabled=True, clock=clock, sleep=clock.sleep, **options)


def test_nova_is_off_unless_switched_on_and_says_what_leaves_the_house():
    service = FakeNova()
    client = httpx.Client(transport=httpx.MockTransport(service))
    engine = NovaEngine(client, "key")
    assert not engine.status().usable and "not your image" in engine.status().how_to_install
    assert engine.solve(STARS, SHAPE, HINTS, limit_s=10).outcome == "unavailable"
    assert service.asked == []


def test_nova_is_sent_a_private_star_list_inside_request_json():
    service = FakeNova()
    answer = nova(service).solve(STARS, SHAPE, HINTS, limit_s=100)
    assert answer.outcome == "solved" and answer.plane.parity == -1
    assert answer.plane.pixel_to_sky(999.5, 799.5)[0] == pytest.approx(84.0)
    login, upload = service.sent
    assert login == {"apikey": "key"}
    assert upload["session"] == "S" and upload["publicly_visible"] == "n"
    assert (upload["image_width"], upload["image_height"]) == (2000, 1600)
    assert upload["x"][0] == pytest.approx(STARS.x[0] + 1, abs=1e-3) and len(upload["y"]) == len(STARS)
    assert (upload["scale_lower"], upload["scale_upper"], upload["center_ra"]) == (2.9, 3.1, 84.0)


def test_nova_without_hints_sends_no_pointing():
    assert "center_ra" not in submission(STARS, SHAPE, SolveHints())


@pytest.mark.parametrize(
    ("service", "outcome", "said"),
    [
        (FakeNova(job_state="failure"), "no_solution", "did not solve"),
        (FakeNova(waits=10_000), "time_limit", "still waiting"),
        (FakeNova(login={"status": "error", "errormessage": "bad apikey"}), "error", "bad apikey"),
        (FakeNova(login={"status": "success"}), "error", "no session"),
        (FakeNova(wcs=b"<html>\xff"), "error", "cannot be read"),
        (FakeNova(wcs=b""), "error", "no usable WCS"),
    ],
)
def test_nova_answers_that_are_no_solution(service, outcome, said):
    answer = nova(service).solve(STARS, SHAPE, HINTS, limit_s=60)
    assert answer.outcome == outcome and said in answer.detail
    assert answer.plane is None


@pytest.mark.parametrize(
    ("failure", "outcome"),
    [(httpx.ConnectError("refused"), "unavailable"), (httpx.ReadTimeout("slow"), "time_limit")],
)
def test_a_dead_nova_is_an_answer(failure, outcome):
    def handler(request):
        raise failure

    assert nova(handler).solve(STARS, SHAPE, HINTS, limit_s=60).outcome == outcome


def test_a_web_page_in_place_of_json_is_an_error():
    answer = nova(lambda request: httpx.Response(200, text="<html>")).solve(STARS, SHAPE, HINTS, limit_s=60)
    assert answer.outcome == "error" and "no JSON" in answer.detail


# ---- an engine in the parent process


def test_an_engine_in_the_parent_answers_as_if_it_were_here():
    plane = plane_from_cards(CARDS)

    class Real:
        name = "nova"

        def status(self):
            return EngineStatus("nova", True, "")

        def solve(self, stars, shape, hints, *, limit_s):
            assert (shape, hints, limit_s) == (SHAPE, HINTS, 12.0)
            np.testing.assert_array_equal(stars.x, STARS.x)
            return EngineAnswer("nova", "solved", 3.0, plane, None, "job 11")

    def ask(question, payload):
        assert question == "solve_remote"
        return json.loads(json.dumps(answer_relayed(Real(), json.loads(json.dumps(payload)))))

    answer = RelayedEngine("nova", ask, Real().status()).solve(STARS, SHAPE, HINTS, limit_s=12.0)
    assert (answer.outcome, answer.detail) == ("solved", "job 11")
    np.testing.assert_array_equal(answer.plane.matrix, plane.matrix)


# ---- Siril


def test_siril_before_1_2_cannot_be_used(tmp_path):
    program = fake_program(tmp_path, "print('siril 1.0.6')")
    status = SirilEngine(program=program).status()
    assert not status.usable and "1.0.6" in status.reason and "Debian 13" in status.how_to_install


def test_siril_is_given_a_script_and_its_header_is_read(tmp_path):
    program = fake_program(tmp_path, f"""
        import sys
        from pathlib import Path
        if "--version" in sys.argv:
            print("siril 1.2.6-stable"); sys.exit()
        folder = Path(sys.argv[sys.argv.index("-d") + 1])
        script = Path(sys.argv[sys.argv.index("-s") + 1]).read_text()
        assert "platesolve 84.000000,-5.000000" in script and (folder / "stars.fit").is_file()
        cards = {CARDS!r}
        text = "SIMPLE  =                    T".ljust(80) + "BITPIX  =                    8".ljust(80)
        text += "NAXIS   =                    0".ljust(80)
        text += "".join(f"{{key:8}}= {{value:20.14G}}".ljust(80) for key, value in cards.items()) + "END"
        (folder / "solved.fit").write_text(text.ljust(2880))
    """)  # fmt: skip
    answer = SirilEngine(program=program, scratch=tmp_path).solve(STARS, SHAPE, HINTS, limit_s=20)
    assert answer.outcome == "solved", answer
    assert answer.plane.pixel_to_sky(999.5, 799.5)[1] == pytest.approx(-5.0, abs=1e-9)


def test_siril_without_a_scale_is_not_started(tmp_path):
    program = fake_program(tmp_path, "print('siril 1.2.6')")
    answer = SirilEngine(program=program).solve(STARS, SHAPE, SolveHints(), limit_s=20)
    assert answer.outcome == "unavailable" and "scale" in answer.detail


def test_siril_that_wants_a_display_says_what_to_install(tmp_path):
    program = fake_program(tmp_path, """
        import sys
        print("siril 1.2.6" if "--version" in sys.argv else "(siril-cli): Gtk-WARNING: cannot open display: ")
    """)  # fmt: skip
    answer = SirilEngine(program=program).solve(STARS, SHAPE, HINTS, limit_s=20)
    assert answer.outcome == "unavailable" and "xvfb" in answer.detail


def test_siril_script_gives_the_scale_by_focal_length():
    script = siril_script(3.0, None, local_solver=True)
    words = dict(word.split("=") for word in script.split() if "=" in word)
    assert 206.264806 * float(words["-pixelsize"]) / float(words["-focal"]) == pytest.approx(3.0, rel=1e-3)
    assert "-localasnet" in script and script.startswith("requires 1.2")


@pytest.mark.parametrize("shrink", [1, 3])
def test_drawn_stars_are_where_the_list_says(shrink):
    stars = StarList.from_columns(np.array([300.3, 900.0]), np.array([200.6, 500.0]), np.array([2.0, 1.0]))
    image = draw_stars(stars, (700, 1100), shrink).astype(float) - 1000.0
    for x, y in zip(stars.x, stars.y, strict=True):
        small_x, small_y = (x + 0.5) / shrink - 0.5, (y + 0.5) / shrink - 0.5
        row, column = round(small_y), round(small_x)
        box = image[row - 6 : row + 7, column - 6 : column + 7].clip(50)
        rows, columns = np.mgrid[row - 6 : row + 7, column - 6 : column + 7]
        assert (box * columns).sum() / box.sum() == pytest.approx(small_x, abs=0.1)
        assert (box * rows).sum() / box.sum() == pytest.approx(small_y, abs=0.1)


# ---- headers and folders


@pytest.mark.parametrize(
    "change", [{"CD1_1": 0.0}, {"CD2_2": math.nan}, {"CRVAL1": "12h"}, {"CRPIX1": None}], ids=lambda c: next(iter(c))
)
def test_a_header_without_a_usable_wcs_gives_none(change):
    assert plane_from_cards({**CARDS, **change}) is None
    assert plane_from_cards({k: v for k, v in CARDS.items() if k != next(iter(change))}) is None


def test_unknown_scales_are_field_widths_from_a_tenth_to_180_degrees():
    low, high = scale_limits_arcsec(SolveHints(), SHAPE)
    assert (low * 2000 / 3600, high * 2000 / 3600) == (pytest.approx(0.1), pytest.approx(180))


def test_index_folders_that_are_missing_empty_or_hold_rubbish_are_named(tmp_path, indexes):
    empty, rubbish = tmp_path / "empty", tmp_path / "rubbish"
    empty.mkdir()
    rubbish.mkdir()
    (rubbish / "index-1.fits").write_bytes(b"no fits file")
    fits.PrimaryHDU(np.zeros((5, 5))).writeto(rubbish / "index-2.fits")
    real = indexes[-1].path.read_bytes()
    (rubbish / "index-3.fits").write_bytes(real[: len(real) // 2])
    scan = find_indexes([empty, rubbish, tmp_path / "none"], standard=False)
    assert scan.files == ()
    said = "\n".join(scan.problems)
    for name, word in (("empty", "holds no file"), ("index-1", "cut off"), ("index-2", "not an astrometry.net index"),
                       ("index-3", ""), ("none", "no such folder")):  # fmt: skip
        assert any(name in line and word in line for line in scan.problems), said


def test_index_files_tell_their_patterns_and_serve_frames_that_hold_them(indexes):
    seven = next(file for file in indexes if file.index_id == 4107)
    assert (seven.quad_low_arcmin, seven.quad_high_arcmin) == (pytest.approx(22), pytest.approx(30))
    assert seven.serves(30, 25) and seven.serves(200, 150)
    assert not seven.serves(10, 8) and not seven.serves(3000, 2000)


# ---- making index files


def test_scales_of_an_index_fit_the_fields():
    scales = index_scales(1.0, 1.0)
    sizes = [2 * 2 ** (k / 2) for k in scales]
    assert min(sizes) <= 6.0 and max(sizes) <= 60.0 < max(sizes) * 2**0.5


@needs(shutil.which("build-astrometry-index") is not None, "astrometry.net is not installed")
def test_an_index_made_of_a_list_solves_a_field_of_it(tmp_path):
    pytest.importorskip("astrometry", reason="the package astrometry is not installed")
    rng = np.random.default_rng(12)
    truth = plane_from_cards(CARDS)
    x, y = rng.uniform(-500, 2500, 800), rng.uniform(-500, 2100, 800)
    ra, dec = truth.pixel_to_sky(x, y)
    mag = rng.uniform(6, 12, 800)
    made = build_index_files(SkyStars.from_columns(ra, dec, mag), tmp_path / "indexes", "mine", [6, 7])
    scan = find_indexes([tmp_path / "indexes"], standard=False)
    assert [file.path.name for file in scan.files] == [path.name for path in made] and not scan.problems
    on = (x > 0) & (x < 2000) & (y > 0) & (y < 1600)
    stars = StarList.from_columns(x[on], y[on], 10 ** (-0.4 * mag[on]))
    answer = IndexEngine(scan.files).solve(stars, SHAPE, HINTS, limit_s=30)
    assert answer.outcome == "solved", answer
    assert_same_mapping(answer.plane, truth, 0.5)


def test_an_empty_list_makes_no_index(tmp_path):
    empty = np.zeros(0)
    with pytest.raises(IndexBuildError):
        build_index_files(SkyStars.from_columns(empty, empty, empty), tmp_path, "none", [6])


def test_the_all_sky_list_says_what_it_is_made_of(tmp_path):
    nothing = find_indexes([], standard=False)
    status = all_sky_status(nothing, tmp_path / "sky")
    assert not status.usable and "alidade indexes sky" in status.how_to_install
    rng = np.random.default_rng(2)
    sky = SkyMap.from_columns(rng.uniform(0, 360, 900), rng.uniform(-90, 90, 900), rng.uniform(5, 9, 900))
    SkyIndexStore(tmp_path / "sky").build(sky, "mine", options=IndexOptions(smallest_deg=12.8, levels=1))
    status = all_sky_status(nothing, tmp_path / "sky")
    assert status.usable and status.reason.startswith("900 stars of mine, ")
