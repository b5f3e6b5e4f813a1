"""Requests and results of the catalogs service: reference stars, reference lists and identification.

Plain requests: ``POST /v1/reference/cone`` (body ``ReferenceConeRequest``, answer one FITS binary table), ``GET
/v1/reference`` (``ReferenceLists``), ``DELETE /v1/reference/{name}``. Jobs: ``import_reference``, ``identify``, ``crossmatch``,
``match_surveys`` and ``mirror_gaia``.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from astro_shared.contracts.objects import ObjectRef
from astro_shared.contracts.settings import IdentificationSettings

RightAscension = Annotated[float, Field(ge=0, lt=360)]
Declination = Annotated[float, Field(ge=-90, le=90)]
ListName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,62}$", description="Name of a reference list.")]
Layer = Literal["list", "mirror", "cache", "archive", "vizier"]

REFERENCE_LAYER_HEADER = "X-Reference-Layer"
REFERENCE_ROWS_HEADER = "X-Reference-Rows"
CROSSMATCH_FILE = "crossmatch.parquet"
MATCHED_FILE = "matched.tar"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ReferenceConeRequest(_Model):
    """Reference stars around a position (``ra_deg``, ``dec_deg``, ``radius_deg``) or inside a polygon.

    The answer is a FITS binary table with Gaia's column names and units. Its header says where the rows come from:
    ``REFNAME``, ``REFLAYER``, ``RELEASE``, ``REFROWS`` (found before ``max_rows``), ``TRUNC`` (rows were left out),
    ``MAGLIM``, ``POSEPOCH`` (epoch of the positions when propagated) a ``SKIPn`` card per cut whose column is missing.
    """

    name: ListName = "gaia"
    release: str = Field("dr3", pattern=r"^[a-z0-9]{1,16}$", description="Gaia release; ignored for other lists.")
    ra_deg: RightAscension | None = Field(None, description="Centre, ICRS.")
    dec_deg: Declination | None = Field(None, description="Centre, ICRS.")
    radius_deg: float | None = Field(None, gt=0, le=90)
    polygon: tuple[tuple[RightAscension, Declination], ...] | None = Field(
        None, min_length=3, max_length=100, description="Convex vertices (ra, dec) in degrees, either sense."
    )
    epoch_jyear: float | None = Field(
        None, ge=1900, le=2200, description="Membership is decided with the positions at this epoch."
    )
    propagate: bool = Field(False, description="Also move positions and errors to epoch_jyear; default: as catalogued.")
    mag_limit: float | None = Field(None, ge=-5, le=40, description="Faintest magnitude in mag_band.")
    mag_band: str | None = Field(
        None, pattern=r"^[A-Za-z0-9_]{1,40}$", description="Band of cut and order; default G, or the list's first band."
    )
    max_rows: int | None = Field(None, ge=1, le=5_000_000, description="Keep the brightest; then brightest first.")
    max_ruwe: float | None = Field(None, gt=0, description="Skipped and reported where the list has no ruwe.")
    color_range: tuple[float, float] | None = Field(None, description="Range of BP-RP; skipped without those bands.")
    drop_duplicated: bool = Field(False, description="Leave out duplicated_source rows.")
    drop_variable: bool = Field(False, description="Leave out phot_variable_flag = VARIABLE rows.")
    min_flux_over_error: float | None = Field(None, gt=0, description="Least G flux over its error.")
    max_excess_sigma: float | None = Field(
        None, gt=0, description="Largest corrected BP/RP flux excess in its sigma (Riello et al. 2021)."
    )
    owner: str | None = Field(None, description="Whose lists come before the global ones; default: the caller.")

    @model_validator(mode="after")
    def _one_region(self) -> ReferenceConeRequest:
        cone = (self.ra_deg, self.dec_deg, self.radius_deg)
        if self.polygon is None and any(value is None for value in cone):
            raise ValueError("give ra_deg, dec_deg and radius_deg, or a polygon")
        if self.polygon is not None and any(value is not None for value in cone):
            raise ValueError("give a cone or a polygon, not both")
        if self.propagate and self.epoch_jyear is None:
            raise ValueError("propagate needs epoch_jyear")
        return self


class BandInfo(_Model):
    """One magnitude column of a reference list."""

    name: str = Field(description="Column name, e.g. phot_g_mean_mag or vt_mag.")
    rows: int = Field(description="Rows with a value.")
    brightest: float | None = None
    faintest: float | None = None


class ReferenceListInfo(_Model):
    """A reference list that is at hand."""

    name: str
    scope: Literal["user", "global"]
    owner: str | None = None
    rows: int
    columns: tuple[str, ...]
    bands: tuple[BandInfo, ...] = ()
    missing: tuple[str, ...] = Field((), description="Gaia columns the list does not have: cuts on them are skipped.")
    ref_epoch_min: float | None = None
    ref_epoch_max: float | None = None
    release: str | None = None
    created_at: datetime
    source: str = Field("", description="Name of the imported file.")
    notes: tuple[str, ...] = Field((), description="What the import changed or assumed.")
    size_bytes: int = 0


class ReferenceLists(_Model):
    items: tuple[ReferenceListInfo, ...]


class ImportReferenceRequest(_Model):
    """Job ``import_reference``: a catalogue file becomes a reference list; a list of that name is replaced."""

    name: ListName
    file: ObjectRef
    file_name: str = Field(max_length=255, description="The client's file name; tells the format, never a path.")
    scope: Literal["user", "global"] = "user"
    owner: str | None = Field(None, description="Owner of a list of scope user; default: the job's.")
    format: Literal["auto", "csv", "ecsv", "fits", "votable", "parquet", "tycho2_index"] = "auto"
    columns: dict[str, str] = Field(
        default_factory=dict, max_length=200, description="Gaia name to column of the file, before the alias table."
    )
    ref_epoch: float | None = Field(None, ge=1800, le=2200, description="Epoch of rows without one; default 2000.")


class ImportReferenceResult(_Model):
    reference: ReferenceListInfo
    seconds: float


class MirrorGaiaRequest(_Model):
    """Job ``mirror_gaia``: a region of Gaia becomes the list ``gaia`` for everyone, for nights without a network."""

    ra_deg: RightAscension
    dec_deg: Declination
    radius_deg: float = Field(gt=0, le=30)
    depth_mag: Literal[17, 19, 21] = Field(19, description="Faintest G magnitude.")
    release: str = Field("dr3", pattern=r"^[a-z0-9]{1,16}$", description="Gaia release.")


class MirrorGaiaResult(_Model):
    reference: ReferenceListInfo
    seconds: float


StatusWord = Literal["matched", "no_match", "partial", "not_asked", "failed"]
Cause = Literal[
    "not_wanted", "no_key", "field_too_large", "no_epoch", "no_positions", "unknown_catalogue", "offline",
    "unreachable", "timeout", "http_status", "malformed", "refused", "quota", "circuit_open", "overflow",
]  # fmt: skip


class CatalogueStatus(_Model):
    """What is known, and what is not, of one catalogue. Only ``matched`` and ``no_match`` are complete answers."""

    catalogue: str
    status: StatusWord
    cause: Cause | None = Field(None, description="Why, for partial, not_asked and failed.")
    message: str | None = Field(None, description="One sentence for a person.")
    http_status: int | None = None
    retry_at: datetime | None = Field(None, description="Not worth asking again before this time.")
    query: str | None = Field(None, description="What was sent, without keys.")
    asked_at: datetime | None = None
    seconds: float = 0.0
    rows: int = Field(0, description="Objects that the catalogue gave for the field.")
    rows_total: int | None = Field(None, description="Objects it has there, when that is more and known.")
    matches: int = Field(0, description="Sources with a match.")
    cache_age_s: float | None = Field(None, description="Age of the answer when it came from the cache.")


class EarlierIdentification(_Model):
    """What an earlier ``identify`` of the same positions found: its two files and its statuses."""

    matches: ObjectRef
    identifications: ObjectRef
    catalogues: tuple[CatalogueStatus, ...]


class IdentifyRequest(_Model):
    """Job ``identify``: sky positions in, known objects out.

    ``positions`` is a FITS table with ``id, ra, dec`` and, where known, ``ra_err_mas, dec_err_mas`` (deg, mas). Keys of
    third parties are fetched sealed from auth for the job's owner; they are never part of a request.
    """

    positions: ObjectRef
    epoch_jyear: float | None = Field(None, ge=1900, le=2200, description="Mid-exposure; needed for proper motion.")
    date_mid: datetime | None = Field(None, description="Mid-exposure, UTC; needed for solar-system objects.")
    observatory: str = Field("500", pattern=r"^[A-Z0-9]{3,4}$", description="MPC observatory code; 500 = geocentre.")
    identification: IdentificationSettings = IdentificationSettings()
    release: str = Field("dr3", pattern=r"^[a-z0-9]{1,16}$", description="Gaia release.")
    earlier: EarlierIdentification | None = Field(
        None, description="Only catalogues that failed or were not asked then are asked; the rest is taken over."
    )


class IdentifyResult(_Model):
    """Result of ``identify``; its files are ``matches.fits`` and ``identifications.fits``."""

    sources: int
    identified: int = Field(description="Sources with a match in some catalogue.")
    catalogues: tuple[CatalogueStatus, ...]


class CrossmatchRequest(_Model):
    """Job ``crossmatch``: a table (``left``) against another (``right``) or against a reference list.

    Tables are catalogue files of any format that ``import_reference`` reads; their positions, errors and motions are
    found as there. The file ``crossmatch.parquet`` has ``left_row, left_id, right_row, right_id, left_ra, left_dec,
    right_ra, right_dec, sep_arcsec, sep_sigma, p_chance, best`` (rows from 0, positions at ``epoch_jyear`` if given).
    """

    left: ObjectRef
    right: ObjectRef | None = None
    reference: ListName | None = None
    pairs: Literal["one_to_one", "all"] = Field("one_to_one", description="all: every pair within the radius.")
    radius_sigma: float = Field(3.0, gt=0, le=20)
    radius_floor_arcsec: float = Field(1.0, gt=0, le=3600)
    radius_cap_arcsec: float = Field(60.0, gt=0, le=3600)
    epoch_jyear: float | None = Field(None, ge=1800, le=2200, description="Both sides are moved to it.")

    @model_validator(mode="after")
    def _two_sides(self) -> CrossmatchRequest:
        if (self.right is None) == (self.reference is None):
            raise ValueError("give a second table or a reference list")
        return self


class CrossmatchResult(_Model):
    left_rows: int
    right_rows: int
    pairs: int
    matched: int = Field(description="Rows of the left table with a best match.")
    seconds: float


class MatchSurveysRequest(_Model):
    """Job ``match_surveys``: a reference list against another, partition by partition on a Dask cluster of the worker.

    For lists of more rows than one process holds: positions as they are in the lists, one radius, no errors, motions or
    choice one to one; ``crossmatch`` has those. The file ``matched.tar`` is a HATS catalogue, folder ``matched``, with
    columns of both lists (``..._left``, ``..._right``) and ``_dist_arcsec``, partitioned by the left positions.
    """

    left: ListName
    right: ListName
    radius_arcsec: float = Field(1.0, gt=0, le=60)
    neighbours: int = Field(1, ge=1, le=100, description="The nearest so many of the right list, of each left row.")
    columns: Literal["positions", "all"] = Field(
        "positions", description="positions: source_id, ra, dec of both; all: every column of both."
    )


class MatchSurveysResult(_Model):
    left_rows: int
    right_rows: int
    margin_rows: int = Field(description="Rows of the right list that lie near cells they are not in.")
    pairs: int
    matched: int = Field(description="Rows of the left list with a partner.")
    partitions: int
    seconds: float


class UpstreamState(_Model):
    """What the service knows of one upstream (administrators)."""

    upstream: str
    breaker: Literal["closed", "open", "half_open"]
    failures: int
    last_success_at: datetime | None = None
    last_failure_at: datetime | None = None
    last_cause: str | None = None
    open_until: datetime | None = None
    requests_per_s: float
    concurrency: int
    cache_hits: int = 0
    cache_misses: int = 0


class UpstreamStates(_Model):
    items: tuple[UpstreamState, ...]
