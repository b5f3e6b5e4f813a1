"""Match tables and reference lists."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from alidade.client import AlidadeClient
from astro_shared.contracts.catalogs import CROSSMATCH_FILE, MATCHED_FILE


def crossmatch(
    client: AlidadeClient,
    left: Path,
    right: Path | str,
    out: Path,
    *,
    watch: Callable[[str], None] = lambda message: None,
    **options: Any,
) -> Mapping[str, Any]:
    """Upload, match, bring the pairs home.

    Parameters
    ----------
    left : a table of any format that reference lists are made of
    right : another, or the name of a reference list
    out : where the Parquet file with the pairs goes
    options : ``pairs``, ``radius_sigma``, ``radius_floor_arcsec``, ``radius_cap_arcsec``, ``epoch_jyear``

    Returns
    -------
    ``left_rows``, ``right_rows``, ``pairs``, ``matched``, ``seconds``

    Raises
    ------
    AlidadeClientError
        A table cannot be used or the list is not there, with the reason.
    """
    body: dict[str, Any] = {"left_upload_id": client.upload(left, purpose="reference").id, **options}
    if isinstance(right, Path):
        body["right_upload_id"] = client.upload(right, purpose="reference").id
    else:
        body["reference"] = right
    work = client.finished(client.begin("/api/v1/crossmatch", body), watch=watch)
    client.fetch(work, CROSSMATCH_FILE, out)
    return work.result or {}


def match_surveys(
    client: AlidadeClient,
    left: str,
    right: str,
    out: Path,
    *,
    watch: Callable[[str], None] = lambda message: None,
    **options: Any,
) -> Mapping[str, Any]:
    """Match one reference list to another, bring the pairs home.

    Parameters
    ----------
    left, right : names of lists
    out : where the tar with a HATS catalogue goes
    options : ``radius_arcsec``, ``neighbours``, ``columns``

    Returns
    -------
    ``left_rows``, ``right_rows``, ``margin_rows``, ``pairs``, ``matched``, ``partitions``, ``seconds``

    Raises
    ------
    AlidadeClientError
        A list is not there, or the platform has no LSDB, with the reason.
    """
    body = {"left": left, "right": right, **options}
    work = client.finished(client.begin("/api/v1/crossmatch/surveys", body), watch=watch)
    client.fetch(work, MATCHED_FILE, out)
    return work.result or {}
