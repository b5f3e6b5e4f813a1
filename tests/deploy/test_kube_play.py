"""The pods of the chart, played by podman: all that it renders migrates, starts, becomes ready and reduces a frame.

podman 4.3 plays Deployments, Pods, claims and ConfigMaps. What it does not know is done by hand here: a Job is played as the
pod it would make, Secrets are stored before, a claim's folder is given to the user of the pods as `fsGroup` would do, an
emptyDir gets a name of its own (podman would share it), the names of Services are aliases on the network, and the probes are
asked as a kubelet would, since podman needs curl and systemd for them.
"""

from __future__ import annotations

import base64
import copy
import json
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from alidade.client import AlidadeClient
from alidade.processing import use_reference
from astro_shared.testing.ceph import CephGateway
from astro_shared.testing.components import leave_out
from astro_shared.testing.containers import SERVICES, WITH_WORKERS, Postgres, free_port, podman, what_is_missing
from astro_shared.testing.embedded import public_folder, until
from astro_shared.testing.frames import Camera, simulate_frame

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600), pytest.mark.xdist_group("chart")]

RELEASE = "sky"
PORT = 8000
READY_LIMIT_S = 120.0

Manifest = dict[str, Any]


def container_of(workload: Manifest) -> Manifest:
    """The one container of a workload's pod."""
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    return dict(container)


@dataclass
class PlayedChart:
    """The objects of a rendered chart and the containers that were made of them.

    Parameters
    ----------
    objects : as rendered
    folder : for the manifests that podman is given
    network : of podman's
    """

    objects: list[Manifest]
    folder: Path
    network: str
    containers: dict[str, str] = field(default_factory=dict)
    manifests: list[Path] = field(default_factory=list)
    stored: list[str] = field(default_factory=list)
    claimed: list[str] = field(default_factory=list)

    def find(self, kind: str, name: str) -> Manifest:
        return next(item for item in self.objects if item["kind"] == kind and item["metadata"]["name"] == name)

    def play(self, kind: str, name: str) -> str:
        """Play a workload with what it reads; gives the id of its container."""
        workload = copy.deepcopy(self.find(kind, name))
        spec = workload["spec"]["template"]["spec"]
        if kind == "Job":
            workload = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
        (container,) = spec["containers"]
        for part in ("startupProbe", "readinessProbe", "livenessProbe", "ports"):
            container.pop(part, None)
        config, secret = container["envFrom"]
        self._store(secret["secretRef"]["name"])
        given = [self.find("ConfigMap", config["configMapRef"]["name"])]
        for volume in (*spec["volumes"], *container["volumeMounts"]):
            if volume["name"] == "scratch":
                volume["name"] = f"scratch-{name}"
        given += self._claims(spec["volumes"])
        manifest = self.folder / f"{kind}-{name}.yaml"
        manifest.write_text(yaml.safe_dump_all([*given, workload]))
        self.manifests.append(manifest)
        # It names pod and container, the latter last.
        played = podman("kube", "play", "--network", f"{self.network}:alias={name}", str(manifest)).stdout.split()
        self.containers[name] = played[-1]
        return played[-1]

    def address(self, name: str) -> str:
        """Of a pod, as its neighbours see it."""
        (facts,) = json.loads(podman("inspect", self.containers[name]).stdout)
        pod = json.loads(podman("pod", "inspect", facts["Pod"]).stdout)
        (infra,) = json.loads(podman("inspect", pod["InfraContainerID"]).stdout)
        return str(infra["NetworkSettings"]["Networks"][self.network]["IPAddress"])

    def probe(self, name: str, kind: str) -> bool:
        """Ask a probe of a Deployment as a kubelet does."""
        asked = container_of(self.find("Deployment", name))[f"{kind}Probe"]
        if "exec" in asked:
            return podman("exec", self.containers[name], *asked["exec"]["command"], check=False).returncode == 0
        try:
            answer = httpx.get(f"http://{self.address(name)}:{PORT}{asked['httpGet']['path']}", trust_env=False)
        except httpx.TransportError:
            return False
        return 200 <= answer.status_code < 400

    def logs(self, name: str) -> str:
        done = podman("logs", self.containers[name], check=False)
        return done.stdout + done.stderr

    def clean(self) -> None:
        for manifest in reversed(self.manifests):
            podman("kube", "down", str(manifest), check=False)
        for name in self.stored:
            podman("secret", "rm", name, check=False)
        scratch = [f"scratch-{manifest.stem.partition('-')[2]}" for manifest in self.manifests]
        podman("volume", "rm", "-f", *scratch, *self.claimed, check=False)

    def _store(self, name: str) -> None:
        if name in self.stored:
            return
        encoded = {
            key: base64.b64encode(value.encode()).decode()
            for key, value in self.find("Secret", name)["stringData"].items()
        }
        path = self.folder / name
        path.write_text(json.dumps(encoded))
        podman("secret", "create", name, str(path))
        self.stored.append(name)

    def _claims(self, volumes: list[Manifest]) -> list[Manifest]:
        """The claims of these volumes that podman has not been given yet."""
        names = [item["persistentVolumeClaim"]["claimName"] for item in volumes if "persistentVolumeClaim" in item]
        claims = [copy.deepcopy(self.find("PersistentVolumeClaim", name)) for name in names if name not in self.claimed]
        for claim in claims:
            annotations = claim["metadata"].setdefault("annotations", {})
            annotations |= {"volume.podman.io/uid": "10001", "volume.podman.io/gid": "10001"}
        self.claimed += names
        return claims


@pytest.fixture(scope="module")
def network() -> Iterator[str]:
    if missing := what_is_missing():
        leave_out(missing)
    name = f"alidade-kube-{secrets.token_hex(3)}"
    podman("network", "create", name)
    yield name
    podman("network", "rm", "-f", name, check=False)


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    if not list(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        leave_out("postgresql is not installed (.ci/integration-packages)")
    with public_folder("alidade-kube-") as folder:
        server = Postgres(folder / "postgres", free_port())
        server.start()
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="module")
def objects(helm3: Path, chart: Path, network: str, postgres: Postgres, ceph: CephGateway) -> list[Manifest]:
    (facts,) = json.loads(podman("network", "inspect", network).stdout)
    host = facts["subnets"][0]["gateway"]
    secret = secrets.token_urlsafe(32)
    values = {
        "platform": {"publicUrl": "http://127.0.0.1:8000", "environment": "development"},
        "image": {"registry": "localhost", "tag": "dev", "pullPolicy": "Never"},
        "database": {"host": host, "port": postgres.port, "sslMode": "disable"},
        "s3": {
            "endpoint": f"http://{host}:{ceph.port}", "publicEndpoint": f"http://127.0.0.1:{ceph.port}",
            "bucket": f"kube-{secrets.token_hex(3)}",
        },
        "services": {"catalogs": {"settings": {"UPSTREAM__MODE": "offline"}}},
        "fullnameOverride": RELEASE,
        "secrets": {
            "create": True,
            "values": {
                "databaseUser": "postgres", "databasePassword": postgres.password,
                "s3AccessKey": ceph.account.access_key, "s3SecretKey": ceph.account.secret_key,
                "signing": secret, "sealing": secret, "clients": dict.fromkeys(WITH_WORKERS, secret),
            },
        },
    }  # fmt: skip
    made = subprocess.run(
        [helm3, "template", RELEASE, chart, "--kube-version", "1.31.0", "-f", "-"],
        input=json.dumps(values), capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return [item for item in yaml.safe_load_all(made.stdout) if item]


@pytest.fixture(scope="module")
def played(objects: list[Manifest], network: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlayedChart]:
    """The whole chart: migrations to their end, then what serves and works, until all of it is ready."""
    chart = PlayedChart(objects, tmp_path_factory.mktemp("played"), network)
    try:
        for service in SERVICES:
            job = chart.play("Job", f"{RELEASE}-{service}-migrate")
            assert podman("wait", job).stdout.strip() == "0", chart.logs(f"{RELEASE}-{service}-migrate")
        names = [item["metadata"]["name"] for item in objects if item["kind"] == "Deployment"]
        for name in names:
            chart.play("Deployment", name)
        for name in names:
            try:
                until(lambda name=name: chart.probe(name, "readiness"), READY_LIMIT_S, name, every_s=0.5)
            except AssertionError as error:
                raise AssertionError(f"{name} is not ready: {chart.logs(name)[-2000:]}") from error
        yield chart
    finally:
        chart.clean()


def test_every_deployment_is_played(played: PlayedChart) -> None:
    expected = {f"{RELEASE}-{service}" for service in SERVICES} | {f"{RELEASE}-{s}-worker" for s in WITH_WORKERS}
    assert expected <= set(played.containers)


@pytest.mark.parametrize("kind", ["startup", "readiness", "liveness"])
def test_probes_say_yes(played: PlayedChart, kind: str) -> None:
    names = [name for name in played.containers if not name.endswith("-migrate")]
    assert [name for name in names if not played.probe(name, kind)] == []


def test_pods_are_locked_down(played: PlayedChart) -> None:
    for name, container in played.containers.items():
        (facts,) = json.loads(podman("inspect", container).stdout)
        assert facts["Config"]["User"].split(":")[0] == "10001", name
        assert facts["HostConfig"]["ReadonlyRootfs"] is True, name
        assert facts["EffectiveCaps"] in ([], None), name
    written = podman("exec", played.containers[f"{RELEASE}-auth"], "touch", "/opt/venv/x", check=False)
    assert "Read-only file system" in written.stderr


def test_the_chart_reduces_a_frame(played: PlayedChart, tmp_path: Path) -> None:
    auth = played.containers[f"{RELEASE}-auth"]
    made = podman("exec", auth, "python", "-m", "auth_service.cli", "bootstrap-local").stdout
    token = json.loads(made.strip().splitlines()[-1])["token"]
    frame = simulate_frame(7, n_stars=300, camera=Camera(shape=(512, 512)))
    with AlidadeClient(f"http://{played.address(f'{RELEASE}-gateway')}:{PORT}", personal_token=token) as client:
        reference = use_reference(client, str(frame.write_reference(tmp_path / "stars.fits")), say=print)
        upload = client.upload(frame.write(tmp_path / "small.fits")).id
        settings = {"reference": {"name": reference}, "identification": {"catalogues": []}}
        *_, done = client.watch(client.reduce(upload, settings=settings).id)
        assert (done.phase, done.status) == ("COMPLETED", "calibrated"), done.reason
        client.download(done.id, "catalog.csv", tmp_path / "catalog.csv")
    assert len((tmp_path / "catalog.csv").read_text().splitlines()) > 100
