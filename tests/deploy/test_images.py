"""The images: who runs in them, what is in them, and one-shot tasks."""

import json

import pytest

from astro_shared.testing.components import leave_out
from astro_shared.testing.containers import LOCKED_DOWN, SERVICES, image, podman, what_is_missing
from astro_shared.testing.frames import simulate_frame

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

FOREIGN = {
    "auth": ("numpy", "minio", "procrastinate", "alidade", "gateway_service"),
    "photometry": ("astroalign", "pyarrow", "passlib", "astrometry_service"),
    "astrometry": ("photutils", "astroscrappy", "pyarrow", "photometry_service"),
    "catalogs": ("photutils", "matplotlib", "astroalign", "photometry_service"),
    "gateway": ("photutils", "astroalign", "astroscrappy", "auth_service"),
}


@pytest.fixture(autouse=True, scope="module")
def images():
    if missing := what_is_missing():
        leave_out(missing)


def python(service: str, code: str) -> str:
    options = ["--rm", "--network=none", *LOCKED_DOWN, "--entrypoint", "python"]
    return podman("run", *options, image(service), "-c", code).stdout.strip()


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_holds_its_own_service_and_no_tools(service):
    names = ("gcc", "cc", "pip", "pip3", "apt_mirror")
    code = (
        "import importlib.util as u, shutil, os, json, pathlib;"
        f"print(json.dumps([os.getuid(), [n for n in {FOREIGN[service]!r} if u.find_spec(n)],"
        f"[n for n in {names!r} if shutil.which(n)], pathlib.Path('/etc/apt/sources.list').exists(),"
        "[p for p in ('/opt', '/etc', '/usr', '/tmp') if os.access(p, os.W_OK)]]))"
    )
    uid, foreign, tools, _, writable = json.loads(python(service, code))
    assert uid == 10001
    assert foreign == [] and tools == []
    assert writable == ["/tmp"]


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_says_what_it_is(service):
    found = json.loads(podman("image", "inspect", image(service)).stdout)[0]
    labels = found["Labels"]
    assert labels["org.opencontainers.image.title"] == f"alidade-{service}"
    assert ("GPL-3.0" in labels["org.opencontainers.image.licenses"]) == (service == "astrometry")
    assert found["User"] == "10001:10001"
    assert "Healthcheck" in found
    assert not [line for line in found["Config"]["Env"] if "://" in line]


def oneshot(service: str, folder, task: dict, *options: str):
    command = ["run", "--rm", "--network=none", *LOCKED_DOWN, "-v", f"{folder}:/data", *options, image(service)]
    done = podman(*command, json.dumps(task), check=False)
    return done.returncode, json.loads(done.stdout), done.stderr


def test_one_shot_tasks_measure_and_solve(tmp_path):
    sky = simulate_frame(7, n_stars=600)
    sky.write(tmp_path / "sky.fits")
    sky.write_reference(tmp_path / "stars.fits")
    tmp_path.chmod(0o777)
    status, answer, said = oneshot("photometry", tmp_path, {"task": "photometer", "filename": "sky.fits"})
    assert status == 0 and answer["result"]["sources"] > 200
    assert "files" in said
    task = {"task": "astrometer", "filename": "sky.fits", "sources": "sky_sources.fits", "reference": "stars.fits"}
    status, answer, _ = oneshot("astrometry", tmp_path, task)
    assert status == 0 and answer["result"]["astrometry"]["solved"]
    assert (tmp_path / "sky_wcs.fits").exists() and (tmp_path / "sky_sources.csv").exists()


@pytest.mark.parametrize(
    ("task", "options", "word"),
    [
        ({"task": "photometer"}, (), "filename is missing"),
        ({"task": "photometer", "filename": "absent.fits"}, (), "there is no file absent.fits in /data"),
        ({"task": "sing", "filename": "a.fits"}, (), "task: Input should be 'photometer'"),
    ],
)
def test_a_bad_task_gets_one_line(tmp_path, task, options, word):
    tmp_path.chmod(0o755)
    status, answer, said = oneshot("photometry", tmp_path, task, *options)
    assert status == 64 and word in answer["message"]
    assert word in said


def test_a_folder_that_may_not_be_written_is_named(tmp_path):
    (tmp_path / "a.fits").write_bytes(b"x")
    tmp_path.chmod(0o755)
    status, answer, _ = oneshot("photometry", tmp_path, {"task": "photometer", "filename": "a.fits"})
    assert status == 64 and "user 10001 may not write to /data" in answer["message"]


def test_a_folder_that_may_not_be_read_is_named(tmp_path):
    (tmp_path / "a.fits").write_bytes(b"x")
    tmp_path.chmod(0o700)
    status, answer, _ = oneshot("photometry", tmp_path, {"task": "photometer", "filename": "a.fits"})
    assert status == 64 and "user 10001 may not look into /data" in answer["message"]


def test_a_missing_setting_is_one_line():
    done = podman("run", "--rm", "--network=none", *LOCKED_DOWN, image("gateway"), "api", check=False)
    assert done.returncode == 78
    assert "GATEWAY_DATABASE_URL is not set" in done.stderr
