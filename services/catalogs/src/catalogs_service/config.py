"""Settings of the catalogs service, from ``CATALOGS_...`` variables."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic_settings import SettingsConfigDict

from astro_shared.clients.sealed_keys import KeyRing
from astro_shared.jobs.service import JobServiceSettings

VERSION = "0.1.0"


class UpstreamSettings(BaseModel):
    """How the catalogues of others are asked."""

    model_config = ConfigDict(extra="forbid")

    mode: Literal["online", "offline"] = Field(
        default="online", title="Whether anything is asked at all", description="offline: every catalogue is not_asked"
    )
    contact: str = Field(default="", max_length=200, title="Contact in the user agent, an address or a page")
    connect_s: float = Field(default=5.0, gt=0, title="Longest wait for a connection, s")
    read_s: float = Field(default=30.0, gt=0, title="Longest silence of an answer, s")
    total_s: float = Field(default=120.0, gt=0, title="Longest time for one catalogue, s")
    gaia_total_s: float = Field(default=600.0, gt=0, title="Longest time for one query of the Gaia archive, s")
    most_bytes: int = Field(default=64 << 20, ge=1 << 16, title="Longest answer, bytes")
    most_rows: int = Field(default=50_000, ge=1, title="Rows asked for per catalogue and field")
    simbad_url: str = "https://simbad.cds.unistra.fr/simbad/sim-tap/sync"
    vizier_url: str = "https://tapvizier.cds.unistra.fr/TAPVizieR/tap/sync"
    vizier_tables_url: str = "https://vizier.cds.unistra.fr/viz-bin/votable"
    skybot_url: str = "https://ssp.imcce.fr/webservices/skybot/api/conesearch.php"
    astro_colibri_url: str = "https://astro-colibri.science/cone_search"
    gaia_url: str = "https://gea.esac.esa.int/tap-server/tap"
    proxy: str | None = Field(default=None, title="Proxy for everything that leaves the house", pattern=r"^https?://")
    ca_file: Path | None = Field(default=None, title="Certificate authorities, where they are not the system's")


class SurveysSettings(BaseModel):
    """The cluster of a worker that matches surveys; used where the extra ``surveys`` is installed."""

    model_config = ConfigDict(extra="forbid")

    workers: int = Field(default=2, ge=1, le=256, title="Processes of the cluster of one job")
    worker_memory_mb: int = Field(default=2048, ge=512, title="Memory of each of them, MB")


class CatalogsSettings(JobServiceSettings):
    """Reference lists, caches and upstreams."""

    model_config = SettingsConfigDict(
        env_prefix="CATALOGS_", env_nested_delimiter="__", extra="ignore", validate_default=True
    )

    data_folder: Path = Field(title="Folder of reference lists and caches, shared by all processes of the service")
    memory_cache_mb: int = Field(default=256, ge=16, le=65_536, title="Partitions kept in memory, MB")
    disk_cache_mb: int = Field(default=4096, ge=64, title="Cached tiles and answers on disk, MB")
    object_cache_mb: int = Field(
        default=20_480, ge=0, title="Cached tiles in object storage, MB", description="Shared by all replicas; 0: none"
    )
    answer_age_h: float = Field(default=24.0, gt=0, title="How long an answer of a catalogue is reused, hours")
    tile_age_days: float = Field(default=180.0, gt=0, title="How long a tile of Gaia stars is reused, days")
    most_list_rows: int = Field(default=10_000_000, ge=1, title="Rows of one reference list")
    sealing_secret: SecretStr | None = Field(
        default=None, title="Key-encryption keys of third-party keys", description="The same as auth's; None: not used"
    )
    upstream: UpstreamSettings = Field(default_factory=UpstreamSettings)
    surveys: SurveysSettings = Field(default_factory=SurveysSettings)

    def key_ring(self) -> KeyRing | None:
        """What opens the keys that auth hands out, if this process may."""
        if self.sealing_secret is None:
            return None
        return KeyRing.from_setting(self.sealing_secret, purpose="third-party keys")
