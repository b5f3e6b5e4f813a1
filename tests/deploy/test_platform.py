"""The platform from images gives what the embedded platform gives."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg
import pytest

from alidade.client import AlidadeClient
from alidade.credentials import Login
from astro_shared.testing.components import leave_out
from astro_shared.testing.containers import container_platform, image, podman, what_is_missing
from astro_shared.testing.embedded import environment, public_folder
from astro_shared.testing.frames import simulate_frame
from astro_shared.testing.real_data import MISSING, find_real_data

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

ALIDADE = str(Path(sys.executable).with_name("alidade"))


@pytest.fixture(scope="module")
def platform(ceph):
    if missing := what_is_missing():
        leave_out(missing)
    if not list(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        leave_out("postgresql is not installed (.ci/integration-packages)")
    with public_folder("alidade-containers-") as folder, container_platform(folder, ceph) as running:
        yield running


@dataclass(frozen=True)
class Case:
    """A frame, its reference stars and what `alidade process` is told of them."""

    frame: Path
    reference: Path
    options: tuple[str, ...] = ()


@pytest.fixture(scope="module")
def simulated(tmp_path_factory) -> Case:
    folder = tmp_path_factory.mktemp("sky")
    sky = simulate_frame(11, n_stars=1200)
    return Case(sky.write(folder / "sky.fits"), sky.write_reference(folder / "stars.fits"))


@pytest.fixture(scope="module")
def real() -> Case:
    if (data := find_real_data()) is None:
        pytest.skip(MISSING)
    frame = data / "frames" / "hatp32" / "HATP-32171220013343.FITS"
    return Case(frame, data / "catalogs" / "tycho2_hatp32.csv", ("--set", "zero_point.band=vt"))


def process(case: Case, out: Path, variables: dict[str, str], *options: str) -> Path:
    command = [ALIDADE, "process", str(case.frame), "--reference", str(case.reference), "--out", str(out)]
    command += [*case.options, *options]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "uncalibrated" not in done.stdout
    return out / case.frame.stem


def logged_in(platform, home: Path) -> dict[str, str]:
    """Variables of a person who has logged in to the platform."""
    login = Login(platform.url, "local", platform.personal_token())
    variables = environment(home) | {"XDG_CONFIG_HOME": str(home / "config"), "HOME": str(home)}
    command = [sys.executable, "-c", "import sys; from alidade.credentials import *; store_login(Login(*sys.argv[1:]))"]
    subprocess.run([*command, login.server, login.username, login.personal_token], env=variables, check=True)
    return variables


@pytest.mark.parametrize("name", ["simulated", "real"])
def test_the_same_frame_gives_the_same_catalog(platform, name, request, tmp_path):
    case = request.getfixturevalue(name)
    cluster = process(case, tmp_path / "cluster", logged_in(platform, tmp_path), "--server", platform.url)
    with public_folder() as folder:
        variables = environment(folder) | {"XDG_CONFIG_HOME": str(tmp_path / "none")}
        embedded = process(case, tmp_path / "embedded", variables)
    assert sorted(path.name for path in cluster.iterdir()) == sorted(path.name for path in embedded.iterdir())
    for file in ("catalog.csv", "wcs.fits"):
        assert (cluster / file).read_bytes() == (embedded / file).read_bytes()


def test_an_upload_takes_what_was_announced_and_nothing_else(platform, tmp_path):
    with AlidadeClient(platform.url, personal_token=platform.personal_token()) as client:
        announced = client.post("/api/v1/uploads", {"filename": "a.fits", "size": 6, "purpose": "frame"})
        assert announced["url"].startswith(f"http://127.0.0.1:{platform.ceph.port}/{platform.bucket}/uploads/")
        assert httpx.put(announced["url"], content=b"SIMPLE and more", trust_env=False).status_code == 403
        form = announced["form"]
        sent = httpx.post(form["url"], data=form["fields"], files={"file": ("a.fits", b"SIMPLE")}, trust_env=False)
        assert sent.status_code == 204
        assert client.post(f"/api/v1/uploads/{announced['id']}:complete", {})["complete"] is True


def test_migrations_run_twice_without_a_change(platform):
    for service in ("auth", "photometry", "gateway"):
        platform.migrate(service)


@pytest.mark.parametrize(
    ("variable", "value", "line"),
    [
        ("GATEWAY_STORAGE__S3_SECRET_KEY", "wrong", "the secret key does not belong to the access key"),
        ("GATEWAY_STORAGE__S3_ENDPOINT", "https://objects.test:1", "nothing listens there"),
        ("GATEWAY_STORAGE__S3_CA_FILE", "/etc/ssl/certs/ca-certificates.crt", "its certificate is not trusted"),
        ("GATEWAY_STORAGE__S3_BUCKET", "absent-bucket", "there is no bucket absent-bucket"),
        ("GATEWAY_DATABASE_URL", "postgresql://a:b@127.0.0.1:1/gateway", "can not reach the database"),
        ("GATEWAY_CLIENT_SECRET", None, "GATEWAY_CLIENT_SECRET is not set"),
    ],
)
def test_what_keeps_a_worker_from_starting_is_one_line(platform, tmp_path, variable, value, line):
    given = (platform.folder / "gateway.env").read_text().splitlines()
    kept = [item for item in given if not item.startswith(f"{variable}=")]
    changed = tmp_path / "changed.env"
    changed.write_text("\n".join([*kept, *([f"{variable}={value}"] if value else [])]) + "\n")
    options = [str(changed) if option.endswith("gateway.env") else option for option in platform._options("gateway")]
    done = podman("run", "--rm", *options, image("gateway"), "worker", check=False, limit_s=60)
    said = [text for text in done.stderr.splitlines() if not text.startswith("time=")]
    assert done.returncode in (75, 78)
    assert len(said) == 1 and line in said[0]


def test_a_database_of_a_newer_release_is_one_line(platform):
    address = f"postgresql://postgres:{platform.postgres.password}@127.0.0.1:{platform.postgres.port}/photometry"
    with psycopg.connect(address, autocommit=True) as connection:
        old = connection.execute("UPDATE alembic_version SET version_num = 'photometry_9999' RETURNING 1").fetchall()
        assert old
        try:
            options = platform._options("photometry")
            for command in ("migrate", "worker", "api"):
                done = podman("run", "--rm", *options, image("photometry"), command, check=False, limit_s=60)
                said = [text for text in done.stderr.splitlines() if not text.startswith("time=")]
                assert done.returncode == 1
                assert len(said) == 1 and "written by a newer release" in said[0]
        finally:
            connection.execute("UPDATE alembic_version SET version_num = 'photometry_0001'")


def test_nothing_runs_as_root(platform):
    for name in platform.containers:
        assert podman("exec", name, "id", "-u").stdout.strip() == "10001"
