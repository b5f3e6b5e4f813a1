"""Pods of the chart, played by podman: what it renders starts, migrates and answers.

podman 4.3 plays Deployments, Pods and ConfigMaps. It does not know Jobs, reads Secrets only from its own store, asks HTTP
probes with a curl that the images do not have, and publishes every port on all addresses: a Job is played as the pod it would
make, Secrets are stored before, HTTP probes and ports are left out (the test asks the pod by its address).
"""

from __future__ import annotations

import base64
import copy
import json
import secrets
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import yaml

from astro_shared.testing.containers import Postgres, free_port, podman, what_is_missing
from astro_shared.testing.embedded import public_folder, until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300), pytest.mark.xdist_group("chart")]

NETWORK = f"alidade-kube-{secrets.token_hex(3)}"
SECRET = "an-example-of-a-secret-that-is-40-chars-long"


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    if missing := what_is_missing(["auth"]):
        pytest.skip(missing)
    if not list(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        pytest.skip("postgresql is not installed (.ci/integration-packages)")
    with public_folder("alidade-kube-") as folder:
        server = Postgres(folder / "postgres", free_port())
        server.start()
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="module")
def host() -> Iterator[str]:
    """Address of this machine on a network of podman's."""
    podman("network", "create", NETWORK)
    (facts,) = json.loads(podman("network", "inspect", NETWORK).stdout)
    yield facts["subnets"][0]["gateway"]
    podman("network", "rm", "-f", NETWORK, check=False)


@pytest.fixture(scope="module")
def objects(helm3: Path, chart: Path, host: str, postgres: Postgres) -> list[dict[str, Any]]:
    values = {
        "platform": {"publicUrl": "http://127.0.0.1:8000", "environment": "development"},
        "image": {"registry": "localhost", "tag": "dev", "pullPolicy": "Never"},
        "database": {"host": host, "port": postgres.port, "sslMode": "disable"},
        "s3": {"endpoint": "https://s3.example.org"},
        "fullnameOverride": "sky",
        "secrets": {
            "create": True,
            "values": {
                "databaseUser": "postgres", "databasePassword": postgres.password, "s3AccessKey": "a", "s3SecretKey": "b",
                "signing": SECRET, "sealing": SECRET,
                "clients": dict.fromkeys(("gateway", "photometry", "astrometry", "catalogs"), SECRET),
            },
        },
    }  # fmt: skip
    made = subprocess.run(
        [helm3, "template", "sky", chart, "--kube-version", "1.31.0", "-f", "-"],
        input=json.dumps(values), capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return [item for item in yaml.safe_load_all(made.stdout) if item]


@pytest.fixture
def play(objects: list[dict[str, Any]], tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Plays one workload of the chart with what it reads; gives the id of its container."""
    played: list[Path] = []
    stored: list[str] = []

    def run(kind: str, name: str) -> str:
        workload = copy.deepcopy(find(objects, kind, name))
        if kind == "Job":
            template = workload["spec"]["template"]
            workload = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": template["spec"]}
        spec = workload["spec"] if workload["kind"] == "Pod" else workload["spec"]["template"]["spec"]
        (container,) = spec["containers"]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            container.pop(probe, None)
        container.pop("ports", None)
        config, secret = container["envFrom"]
        given = find(objects, "Secret", secret["secretRef"]["name"])
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in given["stringData"].items()}
        path = tmp_path / given["metadata"]["name"]
        path.write_text(json.dumps(encoded))
        podman("secret", "create", path.name, str(path))
        stored.append(path.name)
        manifest = tmp_path / f"{kind}-{name}.yaml"
        manifest.write_text(yaml.safe_dump_all([find(objects, "ConfigMap", config["configMapRef"]["name"]), workload]))
        played.append(manifest)
        # It names pod and container, the latter last.
        return podman("kube", "play", "--network", NETWORK, str(manifest)).stdout.split()[-1]

    yield run
    for manifest in played:
        podman("kube", "down", str(manifest), check=False)
    for name in stored:
        podman("secret", "rm", name, check=False)
    podman("volume", "rm", "-f", "scratch", check=False)


def find(objects: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    return next(item for item in objects if item["kind"] == kind and item["metadata"]["name"] == name)


def test_a_migration_and_an_api_of_the_chart_run_locked_down(play: Callable[..., str], postgres: Postgres) -> None:
    job = play("Job", "sky-auth-migrate")
    assert podman("wait", job).stdout.strip() == "0", podman("logs", job, check=False).stderr
    address = f"host=127.0.0.1 port={postgres.port} user=postgres password={postgres.password} dbname=alidade_auth"
    with psycopg.connect(address) as connection:
        assert connection.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)
    api = play("Deployment", "sky-auth")
    (facts,) = json.loads(podman("inspect", api).stdout)
    assert facts["Config"]["User"].split(":")[0] == "10001" and facts["HostConfig"]["ReadonlyRootfs"] is True
    assert facts["EffectiveCaps"] in ([], None)

    pod = json.loads(podman("pod", "inspect", facts["Pod"]).stdout)
    (infra,) = json.loads(podman("inspect", pod["InfraContainerID"]).stdout)
    url = f"http://{infra['NetworkSettings']['Networks'][NETWORK]['IPAddress']}:8000"

    def keys() -> list[Any] | None:
        try:
            answer = httpx.get(f"{url}/.well-known/jwks.json", trust_env=False)
        except httpx.TransportError:
            return None
        found: list[Any] | None = answer.json()["keys"] if answer.status_code == 200 else None
        return found

    assert until(keys, 60, "the keys of auth", every_s=0.5)
    assert httpx.get(f"{url}/readyz", trust_env=False).status_code == 200
    written = podman("exec", api, "python", "-c", "open('/opt/venv/x', 'w')", check=False)
    assert "Read-only file system" in written.stderr
