"""Work that builds on reductions, through the embedded platform, by the client and by the commands."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from alidade.client import AlidadeClient, AlidadeClientError
from alidade.processing import use_reference
from astro_shared.contracts.gateway import ReductionView
from astro_shared.testing.embedded import EmbeddedPlatform, free_port, public_folder, run_alidade
from astro_shared.testing.exposures import Exposure
from astro_shared.testing.frames import Camera, SimulatedFrame, simulate_frame

pytestmark = [pytest.mark.xdist_group("end_to_end"), pytest.mark.timeout(300)]


@dataclass(frozen=True)
class Reduced:
    frame: SimulatedFrame
    view: ReductionView


@pytest.fixture(scope="module")
def platform() -> Iterator[EmbeddedPlatform]:
    with public_folder() as folder:
        made = EmbeddedPlatform(folder / "data", free_port())
        (folder / "data").mkdir(mode=0o755)
        made.start()
        yield made
        made.stop()


@pytest.fixture
def client(platform: EmbeddedPlatform) -> Iterator[AlidadeClient]:
    with AlidadeClient(platform.url, personal_token=platform.token) as client:
        yield client


@pytest.fixture(scope="module")
def reduced(platform: EmbeddedPlatform, tmp_path_factory: pytest.TempPathFactory) -> Reduced:
    folder = tmp_path_factory.mktemp("frames")
    frame = simulate_frame(8, n_stars=250, camera=Camera(shape=(512, 512)))
    frame.write(folder / "sky.fits")
    frame.write_reference(folder / "stars.fits")
    with AlidadeClient(platform.url, personal_token=platform.token) as client:
        name = use_reference(client, str(folder / "stars.fits"), say=lambda text: None)
        upload = client.upload(folder / "sky.fits")
        begun = client.reduce(upload.id, settings={"reference": {"name": name}})
        *_, done = client.watch(begun.id)
    assert done.status == "calibrated", done.reason
    return Reduced(frame, done)


def test_forced_fluxes_of_known_stars_are_the_truth(client: AlidadeClient, reduced: Reduced, tmp_path: Path) -> None:
    truth = reduced.frame.truth
    good = np.asarray(truth["isolated"]) & ~np.asarray(truth["saturated"]) & (np.asarray(truth["snr"]) > 30)
    stars = truth[good & (np.abs(np.asarray(truth["x"]) - 256) < 230) & (np.abs(np.asarray(truth["y"]) - 256) < 230)]
    places = [
        {"ra_deg": float(row["ra"]), "dec_deg": float(row["dec"]), "name": f"star {n}"} for n, row in enumerate(stars)
    ]
    work = client.finished(client.forced(reduced.view.id, [*places, {"x": -40.0, "y": 5.0}]))
    assert work.result is not None
    assert work.result["positions"] == len(stars) + 1 and work.result["measured"] == len(stars)
    client.fetch(work, "forced.json", tmp_path / "forced.json")
    rows = json.loads((tmp_path / "forced.json").read_text())["fluxes"]
    ratio = np.array([row["flux_e"] for row in rows[:-1]]) / np.asarray(stars["flux_e"])
    assert len(ratio) > 10 and abs(np.median(ratio) - 1) < 0.02
    assert rows[0]["name"] == "star 0" and rows[0]["mag"] is not None
    assert rows[-1]["flux_e"] is None


def test_the_command_writes_the_same_rows(client: AlidadeClient, reduced: Reduced, platform: EmbeddedPlatform) -> None:
    ended = run_alidade(platform.folder, "forced", reduced.view.id, "--at", "100.5,200", "--at", "300,301", "--pixels")
    assert ended.returncode == 0, ended.stderr
    rows = list(csv.DictReader(io.StringIO(ended.stdout)))
    assert [(float(row["x"]), float(row["y"])) for row in rows] == [(100.5, 200), (300, 301)]
    assert "2 positions, 2 measured" in ended.stderr


def test_positions_that_make_no_sense_are_refused_in_one_sentence(client: AlidadeClient, reduced: Reduced) -> None:
    for places, code in (([], "validation_failed"), ([{"x": 1.0}], "validation_failed")):
        with pytest.raises(AlidadeClientError) as refused:
            client.forced(reduced.view.id, places)
        assert refused.value.status == 422 and "positions" in str(refused.value), code
    with pytest.raises(AlidadeClientError) as refused:
        client.forced("0" * 36, [{"x": 1.0, "y": 2.0}])
    assert refused.value.code == "reduction_not_found"


def test_the_work_of_one_user_is_not_seen_by_another(
    client: AlidadeClient, reduced: Reduced, platform: EmbeddedPlatform, tmp_path: Path
) -> None:
    work = client.finished(client.forced(reduced.view.id, [{"x": 50.0, "y": 60.0}]))
    with AlidadeClient(platform.url) as other:
        other.register("somebody-else", "a-long-enough-passphrase-9")
        other.login("somebody-else", "a-long-enough-passphrase-9")
        for ask in (
            lambda: other.work(work.id),
            lambda: other.fetch(work, "forced.csv", tmp_path / "stolen.csv"),
            lambda: other.forced(reduced.view.id, [{"x": 1.0, "y": 2.0}]),
        ):
            with pytest.raises(AlidadeClientError) as refused:
                ask()
            assert refused.value.status == 404
    assert not (tmp_path / "stolen.csv").exists()


def test_masters_are_built_and_used_by_the_next_frame(
    client: AlidadeClient, platform: EmbeddedPlatform, tmp_path: Path
) -> None:
    rng = np.random.default_rng(9)
    for number in range(5):
        fits.writeto(tmp_path / f"bias{number}.fits", rng.normal(400, 5, (256, 256)).astype(np.float32))
        light = rng.normal(20_400, 140, (256, 256)).astype(np.float32)
        fits.writeto(tmp_path / f"flat{number}.fits", light)
    sky = simulate_frame(9, n_stars=100, camera=Camera(shape=(256, 256)))
    replace(sky, data=(sky.data + 400).astype(np.float32)).write(tmp_path / "raw.fits")
    bias, flat = tmp_path / "master_bias.fits", tmp_path / "master_flat.fits"
    for kind, master, more in (("bias", bias, ()), ("flat", flat, ("--bias", bias))):
        ended = run_alidade(platform.folder, "masters", kind, tmp_path / f"{kind}?.fits", "--out", master, *more)
        assert ended.returncode == 0, ended.stderr
        assert "5 frames" in ended.stdout
    assert np.median(fits.getdata(bias)) == pytest.approx(400, abs=0.2)
    ended = run_alidade(
        platform.folder, "process", tmp_path / "raw.fits", "--bias", bias, "--flat", flat, "--out", tmp_path / "out",
        "--set", "solve.blind=false", "--set", "identification.catalogues=[]",
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "calibrated with the master bias, flat" in (tmp_path / "out" / "raw" / "processing.log").read_text()
    uploads = [client.upload(tmp_path / f"bias{number}.fits").id for number in range(5)]
    work = client.finished(client.master("bias", uploads))
    begun = client.reduce(client.upload(tmp_path / "raw.fits").id, masters={"bias": work.id}, preset="fast")
    *_, done = client.watch(begun.id)
    assert any("master bias" in text for text in (done.summary or {})["warnings"])


def test_a_broken_raw_frame_ends_the_work_with_its_name(client: AlidadeClient, tmp_path: Path) -> None:
    uploads = []
    for number, side in enumerate((64, 65)):
        fits.writeto(tmp_path / f"b{number}.fits", np.full((side, 64), 3.0, np.float32))
        uploads.append(client.upload(tmp_path / f"b{number}.fits").id)
    with pytest.raises(AlidadeClientError, match=r"b1\.fits has 64 x 65 px") as refused:
        client.finished(client.master("bias", uploads))
    assert refused.value.code == "calibration_mismatch"


def test_a_night_of_reductions_gives_its_extinction(
    client: AlidadeClient, platform: EmbeddedPlatform, tmp_path: Path
) -> None:
    k, above, ids = 0.15, 22.6, []
    for number, airmass in enumerate((1.0, 1.15, 1.3, 1.6, 2.0)):
        exposure = Exposure(airmass=airmass, zero_point_mag=above - k * airmass)
        frame = simulate_frame(31, n_stars=300, camera=Camera(shape=(384, 384)), exposure=exposure)
        frame.write(tmp_path / f"night{number}.fits")
        frame.write_reference(tmp_path / "stars.fits")
        name = use_reference(client, str(tmp_path / "stars.fits"), say=lambda text: None)
        settings = {"reference": {"name": name}, "identification": {"catalogues": []}, "products": {"plots": False}}
        begun = client.reduce(client.upload(tmp_path / f"night{number}.fits").id, settings=settings)
        *_, done = client.watch(begun.id)
        assert done.status == "calibrated", done.reason
        ids.append(done.id)
    work = client.finished(client.extinction(ids))
    fit = work.result or {}
    assert fit["k_mag"] == pytest.approx(k, abs=4 * fit["k_err_mag"]) and fit["k_err_mag"] < 0.03
    assert [frame["airmass"] for frame in fit["frames"]] == pytest.approx([1.0, 1.15, 1.3, 1.6, 2.0])
    ended = run_alidade(platform.folder, "extinction", *ids, "--out", tmp_path / "night")
    assert ended.returncode == 0 and "5 frames" in ended.stdout, ended.stderr
    assert (tmp_path / "night" / "plots" / "extinction.png").exists()
    for few in (ids[:4], [*ids[:4], ids[0]]):
        with pytest.raises(AlidadeClientError) as refused:
            client.extinction(few)
        assert refused.value.status == 422
