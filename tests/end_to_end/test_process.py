"""``alidade process`` on the embedded platform: one small frame, every name of the contract, and input that is bad.

The platform runs once for all of these tests; frames are processed by the command, as people do.
"""

from __future__ import annotations

import csv
import json
import os
import secrets
import subprocess
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from alidade.client import AlidadeClient, AlidadeClientError
from astro_shared.testing.embedded import EmbeddedPlatform, free_port, public_folder
from astro_shared.testing.embedded import run_alidade as run
from astro_shared.testing.frames import Camera, SimulatedFrame, simulate_frame
from astro_shared.testing.truth import solution_error

pytestmark = [pytest.mark.xdist_group("end_to_end"), pytest.mark.timeout(300)]

TABLES = {"catalog.csv", "catalog.parquet", "catalog.ecsv", "catalog.vot"}
LISTS = {"calibrators.csv", "matches.csv", "astrometry_pairs.csv"}
PRODUCTS = {
    "header.txt",
    "wcs.fits",
    "processing.log",
    "background.fits",
    "background_rms.fits",
    "psf.fits",
    "summary.json",
}
PLOTS = {
    f"plots/{name}.png" for name in ("image", "background", "background_rms", "fwhm", "psf", "zero_point", "astrometry")
}
SUMMARY = {
    "frame", "status", "reason", "software", "settings_hash", "sources", "fwhm_psf_px", "fwhm_marginal_px", "astrometry",
    "zero_point", "limiting_mag_5sigma", "airmass", "identification", "stages",
}  # fmt: skip
SOLUTION = {
    "state", "engine", "ra_center_deg", "dec_center_deg", "scale_arcsec_px", "rotation_deg", "parity", "n_matched", "rms_mas",
    "degree", "alpha", "sigma_sys_mas", "chi2_dof",
}  # fmt: skip
ZERO_POINT = {"band", "value", "error", "color_term", "n_used", "rms"}
STAGES = ["measure", "solve", "calibrate", "identify", "collect"]


@dataclass(frozen=True)
class Processed:
    """What the command did with a good frame and eight bad ones."""

    frame: SimulatedFrame
    path: Path
    reference: Path
    folder: Path
    ended: subprocess.CompletedProcess[str]

    @property
    def good(self) -> Path:
        return self.folder / "sky.v1"

    def summaries(self) -> dict[str, dict[str, Any]]:
        return {item["frame"]: item for item in map(json.loads, self.ended.stdout.strip().splitlines())}


@pytest.fixture(scope="session")
def platform() -> Iterator[EmbeddedPlatform]:
    with public_folder() as folder:
        made = EmbeddedPlatform(folder / "data", free_port())
        (folder / "data").mkdir(mode=0o755)
        made.start()
        yield made
        made.stop()


def bad_frames(folder: Path, good: Path) -> list[Path]:
    """Everything that people send by mistake."""
    whole, header = good.read_bytes(), fits.getheader(good)
    (folder / "text.fits").write_text("This is a letter, and no picture of the sky.\n" * 100)
    (folder / "truncated.fits").write_bytes(whole[: len(whole) // 2])
    (folder / "packed.fits.bz2").write_bytes(b"BZh91AY&SY" + bytes(100))
    (folder / "empty.fits").write_bytes(b"")
    fits.writeto(folder / "nans.fits", np.full((256, 256), np.nan, np.float32), header)
    fits.writeto(folder / "line.fits", np.arange(1000, dtype=np.float32))
    dark = np.random.default_rng(1).normal(100, 3, (256, 256)).astype(np.float32)
    fits.writeto(folder / "dark.fits", dark)
    names = ("missing", "text", "truncated", "nans", "line", "dark", "empty")
    return [*(folder / f"{name}.fits" for name in names), folder / "packed.fits.bz2"]


@pytest.fixture(scope="session")
def processed(platform: EmbeddedPlatform, tmp_path_factory: pytest.TempPathFactory) -> Processed:
    folder = tmp_path_factory.mktemp("frames")
    frame = simulate_frame(5, n_stars=250, camera=Camera(shape=(512, 512)))
    path, reference = folder / "sky.v1.fits", folder / "stars.fits"
    frame.write(path)
    frame.write_reference(reference)
    out = tmp_path_factory.mktemp("results")
    bad = bad_frames(folder, path)
    ended = run(platform.folder, "process", *bad, path, "--reference", reference, "--out", out, "--json")
    return Processed(frame, path, reference, out, ended)


def test_exit_code_says_that_some_frame_failed_and_the_others_went_on(processed: Processed) -> None:
    assert processed.ended.returncode == 2, processed.ended.stderr
    assert "Traceback" not in processed.ended.stderr
    assert processed.summaries()["sky.v1.fits"]["status"] == "calibrated"
    assert len(processed.summaries()) == 9


def test_folder_and_archive_hold_the_names_of_the_contract(processed: Processed) -> None:
    names = {path.relative_to(processed.good).as_posix() for path in processed.good.rglob("*") if path.is_file()}
    assert names >= TABLES | LISTS | PRODUCTS | PLOTS
    with zipfile.ZipFile(processed.folder / "sky.v1.zip") as archive:
        assert set(archive.namelist()) == names
        assert archive.testzip() is None


def test_summary_holds_the_fields_of_the_contract(processed: Processed) -> None:
    summary = json.loads((processed.good / "summary.json").read_text())
    assert set(summary) >= SUMMARY
    assert set(summary["astrometry"]) >= SOLUTION
    assert set(summary["zero_point"]) >= ZERO_POINT
    assert [stage["name"] for stage in summary["stages"]] == STAGES
    assert all(
        stage["seconds"] > 0 and stage["cpu_seconds"] > 0 and stage["peak_mb"] > 0 for stage in summary["stages"]
    )
    assert all(f"{name}_reason" in summary for name in ("airmass", "limiting_mag_5sigma") if summary[name] is None)
    assert summary["status"] == "calibrated" and summary["reason"] is None


def test_the_result_is_the_truth(processed: Processed) -> None:
    summary = json.loads((processed.good / "summary.json").read_text())
    zero = summary["zero_point"]
    truth = processed.frame.zero_point_at(zero["color_zero"])
    assert abs(zero["value"] - truth) < max(4 * zero["error"], 0.02)
    header = fits.getheader(processed.good / "wcs.fits")
    header["NAXIS"] = 2
    error = solution_error(WCS(header), processed.frame.wcs, processed.frame.data.shape)
    assert error.rms_axis_mas < 30.0  # 0.03 px; some 150 stars of 0.02 to 0.2 px each


def test_a_catalogue_that_cannot_be_reached_fails_nothing(processed: Processed) -> None:
    found = json.loads((processed.good / "summary.json").read_text())["identification"]
    assert {"simbad", "vsx"} <= set(found)
    assert {entry["status"] for entry in found.values()} <= {"failed", "not_asked"}


def test_the_same_frame_again_gives_the_same_catalogue(
    processed: Processed, platform: EmbeddedPlatform, tmp_path: Path
) -> None:
    again = run(platform.folder, "process", processed.path, "--reference", processed.reference, "--out", tmp_path)
    assert again.returncode == 0, again.stderr
    assert "calibrated" in again.stdout and "zero point" in again.stdout
    for name in ("catalog.csv", "catalog.parquet", "calibrators.csv", "astrometry_pairs.csv", "wcs.fits"):
        assert (tmp_path / "sky.v1" / name).read_bytes() == (processed.good / name).read_bytes(), name


def test_all_formats_hold_the_same_rows(processed: Processed) -> None:
    import pyarrow.parquet as pq
    from astropy.table import Table

    with (processed.good / "catalog.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    parquet = pq.read_table(processed.good / "catalog.parquet")
    ecsv = Table.read(processed.good / "catalog.ecsv", format="ascii.ecsv")
    votable = Table.read(processed.good / "catalog.vot", format="votable")
    assert list(rows[0]) == parquet.column_names == ecsv.colnames == votable.colnames
    for name in ("x", "ra", "flux_psf"):
        kind = ecsv[name].dtype
        values = np.array([float(row[name]) for row in rows]).astype(kind)
        for other in (parquet[name].to_numpy(), ecsv[name], votable[name]):
            np.testing.assert_array_equal(values, np.asarray(other, kind), err_msg=name)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing.fits", ("no such file",)),
        ("text.fits", ("not a FITS file",)),
        ("truncated.fits", ("truncated",)),
        ("nans.fits", ("usable",)),
        ("line.fits", ("image",)),
        ("dark.fits", ("No star stands out",)),
        ("empty.fits", ("empty",)),
        ("packed.fits.bz2", ("bzip2", "unpack")),
    ],
)
def test_a_bad_frame_ends_with_one_sentence(processed: Processed, name: str, words: tuple[str, ...]) -> None:
    summary = processed.summaries()[name]
    assert summary["status"] == "failed"
    for word in words:
        assert word in summary["reason"], summary["reason"]
    assert "\n" not in summary["reason"] and len(summary["reason"]) < 250
    written = json.loads((Path(summary["folder"]) / "summary.json").read_text())
    assert written["reason"] == summary["reason"]


def test_a_folder_that_cannot_be_written_is_named_before_anything_is_sent(
    processed: Processed, platform: EmbeddedPlatform, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    ended = run(platform.folder, "process", processed.path, "--out", tmp_path / "file" / "out")
    assert ended.returncode == 1 and ended.stdout == ""
    assert "output folder" in ended.stderr and "Traceback" not in ended.stderr


def test_a_server_that_is_down_is_named(processed: Processed, platform: EmbeddedPlatform, tmp_path: Path) -> None:
    address = f"http://127.0.0.1:{free_port()}"
    config = tmp_path / "config" / "alidade"
    config.mkdir(parents=True)
    (config / "login.json").write_text(json.dumps({"server": address, "username": "u", "personal_token": "t"}))
    variables = {"XDG_CONFIG_HOME": str(tmp_path / "config")}
    ended = run(platform.folder, "process", processed.path, "--server", address, "--out", tmp_path / "out", **variables)
    assert ended.returncode == 1 and ended.stdout == ""
    assert f"No answer from {address}" in ended.stderr.replace("\n", " ")


def test_a_wrong_password_is_told_and_nothing_is_stored(platform: EmbeddedPlatform, tmp_path: Path) -> None:
    variables = {"XDG_CONFIG_HOME": str(tmp_path), "ALIDADE_PASSWORD": "certainly not this one"}
    ended = run(platform.folder, "login", "--server", platform.url, "--user", "local", **variables)
    assert ended.returncode == 1
    assert "password" in ended.stderr and "Traceback" not in ended.stderr
    assert not list(tmp_path.rglob("login.json"))


def test_options_that_cannot_be_understood_name_their_form(processed: Processed, platform: EmbeddedPlatform) -> None:
    out = processed.folder / "none"
    hint = run(platform.folder, "process", processed.path, "--out", out, "--hint", "12h,3")
    assert hint.returncode == 1 and "RA,DEC" in hint.stderr
    unknown = run(platform.folder, "process", processed.path, "--out", out, "--set", "detection.no_such=3")
    assert unknown.returncode == 1 and "no_such" in unknown.stderr


def test_users_see_only_their_own(processed: Processed, platform: EmbeddedPlatform) -> None:
    with AlidadeClient(platform.url, personal_token=platform.token) as owner:
        own = owner.reductions()
        assert own
    with AlidadeClient(platform.url) as other:
        name, password = f"other-{secrets.token_hex(4)}", secrets.token_urlsafe(16)
        other.register(name, password)
        other.login(name, password)
        assert other.reductions() == []
        for ask in (other.reduction, other.abort, lambda key: other.get(f"/api/v1/reductions/{key}/results")):
            with pytest.raises(AlidadeClientError) as refused:
                ask(own[0].id)
            assert refused.value.status == 404
        with pytest.raises(AlidadeClientError) as refused:
            other.download(own[0].id, "catalog.csv", processed.folder / "stolen.csv")
        assert refused.value.status == 404
    assert not (processed.folder / "stolen.csv").exists()


def test_results_are_readable_by_the_owner_only_through_signed_addresses(
    processed: Processed, platform: EmbeddedPlatform
) -> None:
    import httpx

    with AlidadeClient(platform.url, personal_token=platform.token) as client:
        views = client.reductions()
        done = next((view for view in views if view.status == "calibrated"), None)
        assert done is not None, (processed.summaries(), views)
        path = f"/api/v1/reductions/{done.id}/results/summary.json"
        answer = client._call("GET", path)
    address = answer.headers["location"]
    with httpx.Client(trust_env=False) as plain:
        assert plain.get(address).status_code == 200
        assert plain.get(address[:-4] + "0000").status_code == 403
        refused = plain.get(platform.url + path)
    assert refused.status_code == 401
    assert refused.headers["content-type"] == "application/problem+json"
    assert os.path.basename(path) == "summary.json"  # noqa: PTH119
