"""The platform from images, for tests: five services, their workers and migrations on one podman network.

PostgreSQL (Debian's) and the object store run on this machine and are reached through the network's gateway, as a
cluster reaches those it is given. Needs podman, the images of ``make images`` and a Ceph gateway that listens on all
addresses.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from astro_shared.testing.ceph import NAME_FOR_CONTAINERS, CephGateway

SERVICES = ("auth", "photometry", "astrometry", "catalogs", "gateway")
WITH_WORKERS = SERVICES[1:]
READY_LIMIT_S = 120.0
LOCKED_DOWN = (
    "--read-only",
    "--read-only-tmpfs=false",
    "--tmpfs=/tmp:rw,mode=1777,size=1g",
    "--cap-drop=all",
    "--security-opt=no-new-privileges",
    "--pids-limit=512",
    "--no-healthcheck",
)


def image(service: str) -> str:
    """Name of an image under test."""
    return f"localhost/alidade-{service}:{os.environ.get('ALIDADE_TEST_TAG', 'dev')}"


def what_is_missing(services: Sequence[str] = SERVICES) -> str:
    """Why containers can not be run here; empty where they can."""
    if shutil.which("podman") is None:
        return "podman is not installed (.ci/integration-packages)"
    absent = [service for service in services if podman("image", "exists", image(service), check=False).returncode]
    return f"no images of {', '.join(absent)} (make images)" if absent else ""


def podman(*arguments: str, check: bool = True, limit_s: float = 300.0) -> subprocess.CompletedProcess[str]:
    """Run podman; AssertionError with what it said where it fails."""
    done = subprocess.run(["podman", *arguments], capture_output=True, text=True, timeout=limit_s, check=False)
    if check and done.returncode:
        raise AssertionError(f"podman {' '.join(arguments[:3])}: status {done.returncode}: {done.stderr[-1500:]}")
    return done


@dataclass
class Postgres:
    """A PostgreSQL server of Debian that listens on all addresses, with a password."""

    folder: Path
    port: int
    password: str = field(default_factory=lambda: secrets.token_hex(8))

    def start(self) -> None:
        user = "nobody" if os.geteuid() == 0 else None
        self.folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        if user:
            shutil.chown(self.folder, user)
        (self.folder / "password").write_text(self.password)
        if user:
            shutil.chown(self.folder / "password", user)
        self._run("initdb", "-D", f"{self.folder}/data", "-U", "postgres", "-A", "scram-sha-256", "-E", "UTF8",
                  "--no-sync", f"--pwfile={self.folder}/password")  # fmt: skip
        with (self.folder / "data" / "pg_hba.conf").open("a") as file:
            file.write("host all all 0.0.0.0/0 scram-sha-256\n")
        options = f"-p {self.port} -h 0.0.0.0 -k {self.folder} -c fsync=off -c max_connections=200"
        self._run("pg_ctl", "-D", f"{self.folder}/data", "-w", "-s", "-o", options, "-l", f"{self.folder}/log", "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", f"{self.folder}/data", "-m", "immediate", "-s", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
        user = "nobody" if os.geteuid() == 0 else None
        subprocess.run(
            [str(folders[-1] / program), *arguments], user=user, check=True, cwd=self.folder, timeout=60,
            stdout=subprocess.DEVNULL, extra_groups=[] if user else None,
        )  # fmt: skip


@dataclass
class ContainerPlatform:
    """Everything on one network; the gateway is published on loopback.

    Parameters
    ----------
    folder : for files that containers are given
    postgres, ceph : listen on all addresses of this machine
    """

    folder: Path
    postgres: Postgres
    ceph: CephGateway
    name: str = field(default_factory=lambda: f"alidade-{secrets.token_hex(3)}")
    port: int = field(default_factory=lambda: free_port())
    bucket: str = "frames"
    containers: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Address of the gateway."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Migrate, start and wait until every part is ready."""
        podman("network", "create", self.name)
        self._write_environment()
        for service in SERVICES:
            self.migrate(service)
        for service in SERVICES:
            self.run(service, "api")
        for service in WITH_WORKERS:
            self.run(service, "worker")
        self._wait()

    def stop(self) -> None:
        """Remove everything that was made."""
        if self.containers:
            podman("rm", "-f", "-t", "5", *self.containers, check=False)
        podman("volume", "rm", "-f", self._volume, check=False)
        podman("network", "rm", "-f", self.name, check=False)

    def migrate(self, service: str, *extra: str) -> str:
        """Run a service's migration to its end; returns what it said."""
        options = ["--rm", *self._options(service), *extra]
        return podman("run", *options, image(service), "migrate").stderr

    def run(self, service: str, command: str) -> None:
        """Start a container of a service."""
        name = f"{self.name}-{service}-{command}"
        options = ["-d", "--name", name, *self._options(service)]
        if command == "api":
            options += ["--network-alias", service]
        if service == "gateway" and command == "api":
            options += ["-p", f"127.0.0.1:{self.port}:8000"]
        podman("run", *options, image(service), command)
        self.containers.append(name)

    def logs(self, service: str, command: str) -> str:
        """What a container wrote."""
        done = podman("logs", f"{self.name}-{service}-{command}", check=False)
        return done.stdout + done.stderr

    def healthy(self, service: str, command: str) -> bool:
        """What the image's health check says."""
        check = ("exec", f"{self.name}-{service}-{command}", "python", "-m", "astro_shared.service_command", "health")
        return podman(*check, check=False).returncode == 0

    def personal_token(self) -> str:
        """Token of a user, made by the operator's command."""
        container = f"{self.name}-auth-api"
        made = podman("exec", container, "python", "-m", "auth_service.cli", "bootstrap-local")
        return str(json.loads(made.stdout.strip().splitlines()[-1])["token"])

    @functools.cached_property
    def _host(self) -> str:
        """This machine, as the network's containers reach it."""
        networks = json.loads(podman("network", "inspect", self.name).stdout)
        return str(networks[0]["subnets"][0]["gateway"])

    @property
    def _volume(self) -> str:
        return f"{self.name}-reference"

    def _options(self, service: str) -> list[str]:
        options = [*LOCKED_DOWN, "--network", self.name, "--env-file", str(self.folder / f"{service}.env")]
        options += ["--add-host", f"{NAME_FOR_CONTAINERS}:{self._host}"]
        options += ["-v", f"{self.ceph.folder}/ca.pem:/etc/alidade/ca.pem:ro"]
        if service == "catalogs":
            options += ["-v", f"{self._volume}:/var/lib/alidade:U"]
        return options

    def _write_environment(self) -> None:
        """One file of variables per service, as a cluster's ConfigMaps and Secrets."""
        host = self._host
        clients = {service: secrets.token_urlsafe(32) for service in SERVICES}
        sealing, signing = f"1:{secrets.token_urlsafe(32)}", f"1:{secrets.token_urlsafe(32)}"
        for service in SERVICES:
            own = {
                "DATABASE_URL": f"postgresql://postgres:{self.postgres.password}@{host}:{self.postgres.port}/{service}",
                "PUBLIC_BASE_URL": self.url,
                "AUTH_JWKS_URL": "http://auth:8000/.well-known/jwks.json",
                "CLIENT_SECRET": clients[service],
                "STORAGE__KIND": "s3",
                "STORAGE__S3_ENDPOINT": f"https://{NAME_FOR_CONTAINERS}:{self.ceph.tls_port}",
                "STORAGE__PUBLIC_URL": f"http://127.0.0.1:{self.ceph.port}",
                "STORAGE__S3_BUCKET": self.bucket,
                "STORAGE__S3_ACCESS_KEY": self.ceph.account.access_key,
                "STORAGE__S3_SECRET_KEY": self.ceph.account.secret_key,
                "STORAGE__S3_CA_FILE": "/etc/alidade/ca.pem",
                **{f"{other.upper()}_URL": f"http://{other}:8000" for other in SERVICES},
            }
            lines = {f"{service.upper()}_{name}": value for name, value in own.items()}
            if service == "auth":
                lines |= {f"AUTH_SERVICE_CLIENTS__{s.upper()}__SECRET": clients[s] for s in WITH_WORKERS}
                lines |= {"AUTH_SIGNING_SECRET": signing, "AUTH_SEALING_SECRET": sealing}
                lines |= {"AUTH_TRUSTED_PROXIES": '["10.0.0.0/8"]'}
            if service == "catalogs":
                lines |= {"CATALOGS_DATA_FOLDER": "/var/lib/alidade", "CATALOGS_UPSTREAM__MODE": "offline"}
            text = "".join(f"{name}={value}\n" for name, value in lines.items())
            (self.folder / f"{service}.env").write_text(text)

    def _wait(self) -> None:
        waiting = [(service, "api") for service in SERVICES] + [(service, "worker") for service in WITH_WORKERS]
        end = time.monotonic() + READY_LIMIT_S
        while waiting:
            if time.monotonic() > end:
                raise AssertionError(f"not ready: {waiting}: {self.logs(*waiting[0])[-2000:]}")
            waiting = [part for part in waiting if not self.healthy(*part)]
            time.sleep(0.5)
        assert httpx.get(f"{self.url}/readyz", trust_env=False, timeout=5.0).status_code == 200


@contextlib.contextmanager
def container_platform(folder: Path, ceph: CephGateway) -> Iterator[ContainerPlatform]:
    """Run the platform; everything is removed at the end."""
    postgres = Postgres(folder / "postgres", free_port())
    postgres.start()
    platform = ContainerPlatform(folder, postgres, ceph)
    try:
        platform.start()
        yield platform
    finally:
        platform.stop()
        postgres.stop()


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return int(made.getsockname()[1])
