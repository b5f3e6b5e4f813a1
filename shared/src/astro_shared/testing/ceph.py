"""A real S3 service for tests: one Ceph RADOS gateway on a monitor, a manager and an OSD in memory.

Needs the Debian packages ``radosgw ceph-mon ceph-mgr ceph-osd ceph-common``. A pytest plugin with the
fixture ``ceph``; elsewhere call `start_ceph`. Ready in 10 to 20 s; some 0.6 GiB.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from astro_shared.testing.components import leave_out

if TYPE_CHECKING:
    from astro_shared.storage.s3 import S3Store

PROGRAMS = ("radosgw", "radosgw-admin", "ceph-mon", "ceph-mgr", "ceph-osd", "ceph", "monmaptool", "ceph-authtool")
NAME_FOR_CONTAINERS = "objects.test"
_START_LIMIT_S = 120.0


@dataclass(frozen=True)
class S3Account:
    """Keys of one user."""

    uid: str
    access_key: str
    secret_key: str


@dataclass
class CephGateway:
    """A gateway that runs.

    ``endpoint`` speaks http, ``tls_endpoint`` https where a certificate was given.
    """

    folder: Path
    host: str
    port: int
    tls_port: int
    account: S3Account = field(
        default_factory=lambda: S3Account("alidade", secrets.token_hex(8), secrets.token_hex(16))
    )
    listen: str = "127.0.0.1"
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def endpoint(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def tls_endpoint(self) -> str:
        return f"https://{self.host}:{self.tls_port}"

    def admin(self, *arguments: str) -> Any:
        """Run radosgw-admin and return what it prints."""
        output = _run(self.folder, "radosgw-admin", "-n", "client.admin", *arguments)
        return json.loads(output) if output.strip().startswith(("{", "[")) else output

    def make_account(self, account: S3Account) -> S3Account:
        self.admin(
            "user", "create", f"--uid={account.uid}", f"--display-name={account.uid}",
            f"--access-key={account.access_key}", f"--secret={account.secret_key}",
        )  # fmt: skip
        return account


def missing_programs() -> list[str]:
    """What is not installed."""
    return [name for name in PROGRAMS if shutil.which(name) is None]


@contextlib.contextmanager
def start_ceph(folder: Path, *, listen: str = "127.0.0.1", certificate: Path | None = None) -> Iterator[CephGateway]:
    """Run a gateway; everything in it is gone at the end.

    Parameters
    ----------
    folder
        Empty, with a short path (sockets are below it).
    listen
        Address that the gateway listens on; the daemons behind it stay on loopback.
    certificate
        PEM file with certificate chain and key; with it there is TLS too.
    """
    ports = _free_ports(4)
    gateway = CephGateway(folder, "127.0.0.1", ports[0], ports[1], listen=listen)
    _write_configuration(gateway, monitor_ports=(ports[2], ports[3]), certificate=certificate)
    try:
        _start_cluster(gateway)
        gateway.make_account(gateway.account)
        yield gateway
    finally:
        for process in reversed(gateway.processes):
            process.send_signal(signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="session")
def ceph() -> Iterator[CephGateway]:
    """One gateway for the whole test run, on all addresses for containers, with TLS by ``folder / "ca.pem"``."""
    if missing := missing_programs():
        leave_out(f"no Ceph: {', '.join(missing)} not installed (.ci/integration-packages)")
    import trustme

    folder = Path(tempfile.mkdtemp(prefix="ceph-", dir="/tmp"))
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    authority.issue_cert("127.0.0.1", "localhost", NAME_FOR_CONTAINERS).private_key_and_cert_chain_pem.write_to_path(
        str(folder / "tls.pem")
    )
    try:
        with start_ceph(folder, listen="0.0.0.0", certificate=folder / "tls.pem") as gateway:
            yield gateway
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def s3_store(
    gateway: CephGateway,
    *,
    bucket: str,
    account: S3Account | None = None,
    endpoint: str | None = None,
    public_endpoint: str | None = None,
    ca_file: Path | None = None,
) -> S3Store:
    """A store in a bucket of the gateway, which need not exist yet."""
    from astro_shared.storage.s3 import S3Place, S3Store
    from astro_shared.storage.s3_signing import S3Credentials

    account, endpoint = account or gateway.account, endpoint or gateway.endpoint
    credentials = S3Credentials(account.access_key, account.secret_key, "us-east-1")
    return S3Store(S3Place(endpoint, public_endpoint or endpoint, bucket, credentials, ca_file))


def _write_configuration(gateway: CephGateway, *, monitor_ports: tuple[int, int], certificate: Path | None) -> None:
    folder = gateway.folder
    for name in ("mon", "mgr/x", "osd/0", "run", "log"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    frontend = f"beast endpoint={gateway.listen}:{gateway.port}"
    if certificate is not None:
        frontend += f" ssl_endpoint={gateway.listen}:{gateway.tls_port} ssl_certificate={certificate}"
    (folder / "ceph.conf").write_text(f"""[global]
fsid = {uuid.uuid4()}
mon host = [v2:127.0.0.1:{monitor_ports[0]},v1:127.0.0.1:{monitor_ports[1]}]
public addr = 127.0.0.1
cluster addr = 127.0.0.1
keyring = {folder}/keyring
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd crush chooseleaf type = 0
osd objectstore = memstore
memstore device bytes = 4294967296
mon allow pool size one = true
mon warn on pool no redundancy = false
mon pg warn min per osd = 0
mon data avail crit = 1
auth allow insecure global id reclaim = false
osd scrub load threshold = 2000
run dir = {folder}/run
admin socket = {folder}/run/$name.asok
pid file = {folder}/run/$name.pid
log file = {folder}/log/$name.log
mon cluster log file = {folder}/log/cluster.log
ms bind ipv6 = false
mgr initial modules =
[mon.a]
mon data = {folder}/mon/a
[mgr.x]
mgr data = {folder}/mgr/x
[osd.0]
osd data = {folder}/osd/0
[client.admin]
rgw frontends = {frontend}
rgw thread pool size = 32
rgw enable ops log = false
rgw enable usage log = false
rgw bucket quota ttl = 0
rgw user quota bucket sync interval = 0
""")


def _start_cluster(gateway: CephGateway) -> None:
    folder = gateway.folder
    _make_keyring(folder)
    fsid = next(line for line in (folder / "ceph.conf").read_text().splitlines() if line.startswith("fsid"))
    hosts = next(line for line in (folder / "ceph.conf").read_text().splitlines() if line.startswith("mon host"))
    addresses = hosts.partition("=")[2].strip()
    _run(folder, "monmaptool", "--create", "--clobber", "--fsid", fsid.split()[-1], "--addv", "a", addresses,
         f"{folder}/monmap")  # fmt: skip
    _run(folder, "ceph-mon", "--mkfs", "-i", "a", "--monmap", f"{folder}/monmap", "--keyring", f"{folder}/keyring")
    _daemon(gateway, "ceph-mon", "-i", "a")
    _daemon(gateway, "ceph-mgr", "-i", "x")
    osd = str(uuid.uuid4())
    _run(folder, "ceph", "osd", "new", osd)
    _run(folder, "ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
    _daemon(gateway, "ceph-osd", "-i", "0")
    _daemon(gateway, "radosgw", "-n", "client.admin")
    end = time.monotonic() + _START_LIMIT_S
    while time.monotonic() < end:
        if ended := [process.args for process in gateway.processes if process.poll() is not None]:
            raise RuntimeError(f"Ceph ended at its start: {ended[0]!r}; see {folder}/log")
        with contextlib.suppress(OSError), socket.create_connection((gateway.host, gateway.port), timeout=1.0):
            return
        time.sleep(0.2)
    raise RuntimeError(f"the Ceph gateway did not answer in {_START_LIMIT_S:.0f} s; see {folder}/log")


def _make_keyring(folder: Path) -> None:
    keyring = f"{folder}/keyring"
    _run(folder, "ceph-authtool", "--create-keyring", keyring, "--gen-key", "-n", "mon.", "--cap", "mon", "allow *")
    for name, capabilities in {
        "client.admin": {"mon": "allow *", "osd": "allow *", "mgr": "allow *", "mds": "allow *"},
        "mgr.x": {"mon": "allow profile mgr", "osd": "allow *", "mds": "allow *"},
        "osd.0": {"mon": "allow profile osd", "mgr": "allow profile osd", "osd": "allow *"},
    }.items():
        given = [word for kind, what in capabilities.items() for word in ("--cap", kind, what)]
        _run(folder, "ceph-authtool", keyring, "--gen-key", "-n", name, *given)


def _daemon(gateway: CephGateway, program: str, *arguments: str) -> None:
    command = [program, *arguments, "-c", f"{gateway.folder}/ceph.conf", "-f"]
    with (gateway.folder / "log" / f"{program}.out").open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
    gateway.processes.append(process)


def _run(folder: Path, program: str, *arguments: str) -> str:
    command = [program, "-c", f"{folder}/ceph.conf"] if program not in ("monmaptool", "ceph-authtool") else [program]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        raise RuntimeError(f"{program} {' '.join(arguments)}: {done.stderr.strip()[-500:]}")
    return done.stdout


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for item in sockets:
            item.bind(("127.0.0.1", 0))
        return [int(item.getsockname()[1]) for item in sockets]
