"""Lists and stars as others see them: contract models and FITS bytes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from astro_shared.contracts.catalogs import BandInfo, ReferenceConeRequest, ReferenceListInfo
from catalogs_service.adapters.fits_table import CardValue, table_bytes
from catalogs_service.domain.stars import SelectedStars


def stars_to_fits(found: SelectedStars, request: ReferenceConeRequest) -> bytes:
    """The answer as a FITS table that says where its rows come from."""
    cards: dict[str, CardValue | None] = {
        "REFNAME": found.name,
        "REFLAYER": found.layer,
        "RELEASE": found.release,
        "REFROWS": found.found,
        "TRUNC": found.truncated,
        "MAGLIM": request.mag_limit,
        "DEPTH": found.depth_mag,
        "POSEPOCH": request.epoch_jyear if request.propagate else None,
    }
    cards |= {f"SKIP{place}": text for place, text in enumerate(found.skipped, start=1)}
    return table_bytes(found.stars.columns, name="REFERENCE", cards=cards)


def list_info(facts: Mapping[str, Any]) -> ReferenceListInfo:
    """A list as others see it."""
    return ReferenceListInfo(
        name=facts["name"],
        scope=facts["scope"],
        owner=facts.get("owner"),
        rows=facts["rows"],
        columns=tuple(facts["columns"]),
        bands=tuple(BandInfo(**band) for band in facts["bands"]),
        missing=tuple(facts.get("missing", ())),
        ref_epoch_min=facts.get("ref_epoch_min"),
        ref_epoch_max=facts.get("ref_epoch_max"),
        release=facts.get("release"),
        created_at=datetime.fromisoformat(facts["created_at"]),
        source=facts.get("source", ""),
        notes=tuple(facts.get("notes", ())),
        size_bytes=facts.get("size_bytes", 0),
    )
