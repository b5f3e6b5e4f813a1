"""Settings of every service of the embedded platform, as environment variables.

The defaults are those of a cluster; set here is only what a single machine decides: addresses, folders, secrets. Other
settings may be given as variables of the command that starts the platform: ``CATALOGS_UPSTREAM__MODE=offline alidade up``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass

from alidade.local.index_folders import added_folders, sky_folder
from alidade.local.postgres import PrivatePostgres
from alidade.local.state import SERVICES, StateFolder

_KEPT = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "VIRTUAL_ENV",
    "PYTHONPATH",
    "SSL_CERT_FILE",
)


@dataclass(frozen=True)
class Addresses:
    """Loopback ports by service."""

    ports: Mapping[str, int]
    host: str = "127.0.0.1"

    def url(self, service: str) -> str:
        return f"http://{self.host}:{self.ports[service]}"


def service_environment(
    state: StateFolder, postgres: PrivatePostgres, addresses: Addresses, secrets: Mapping[str, str]
) -> dict[str, str]:
    """Variables for the processes that host the services."""
    given = tuple(f"{service.upper()}_" for service in SERVICES)
    variables = {name: value for name, value in os.environ.items() if name in _KEPT or name.startswith(given)}
    # a numpy.py in the folder where somebody types the command is not ours
    variables["PYTHONSAFEPATH"] = "1"
    variables |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MPLBACKEND": "Agg", "PYTHONUNBUFFERED": "1"}
    for service in SERVICES:
        own = {
            "ENVIRONMENT": "development",
            "LOG_FORMAT": "json",
            "DATABASE_URL": postgres.url(service),
            "DATABASE__POOL_SIZE": "1",
            "DATABASE__POOL_OVERFLOW": "3",
            "PUBLIC_BASE_URL": addresses.url("gateway"),
            "AUTH_JWKS_URL": f"{addresses.url('auth')}/.well-known/jwks.json",
            "CLIENT_SECRET": secrets[f"client_{service}"],
            "STORAGE__KIND": "folder",
            "STORAGE__FOLDER": str(state.objects),
            "STORAGE__URL_SECRET": secrets["storage_url"],
            "STORAGE__PUBLIC_URL": f"{addresses.url('gateway')}/storage",
            "SCRATCH_FOLDER": str(state.scratch),
        }
        own |= {f"{name.upper()}_URL": addresses.url(name) for name in SERVICES}
        variables |= {f"{service.upper()}_{name}": value for name, value in own.items()}
    folders = added_folders(state.root)
    if folders and "ASTROMETRY_INDEX_FOLDERS" not in variables:
        variables["ASTROMETRY_INDEX_FOLDERS"] = json.dumps(folders)
    variables.setdefault("ASTROMETRY_SKY_FOLDER", str(sky_folder(state.root)))
    variables["CATALOGS_DATA_FOLDER"] = str(state.reference)
    if "AUTH_MAIL__KIND" not in variables:
        variables |= {"AUTH_MAIL__KIND": "folder", "AUTH_MAIL__FOLDER": str(state.mail)}
    variables["AUTH_SIGNING_SECRET"] = f"1:{secrets['auth_signing']}"
    for service in ("auth", "catalogs", "astrometry"):
        variables[f"{service.upper()}_SEALING_SECRET"] = f"1:{secrets['sealing']}"
    for service in SERVICES:
        if service != "auth":
            variables[f"AUTH_SERVICE_CLIENTS__{service.upper()}__SECRET"] = secrets[f"client_{service}"]
    return variables
