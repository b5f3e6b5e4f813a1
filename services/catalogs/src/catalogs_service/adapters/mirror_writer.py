"""Writing a reference list as a HEALPix-partitioned Parquet mirror.

Layout (that of HATS catalogues, so that LSDB reads it): ``dataset/Norder=k/Dir=d/Npix=n.parquet``, rows sorted by
``_healpix_29``, ``partition_info.csv``, ``hats.properties``, and our own ``mirror.json`` with what a search needs to know
before it opens a partition. A mirror is written beside its final place and put there by one rename.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from catalogs_service.algorithms.healpix import cells, partition, sky_fraction
from catalogs_service.domain.columns import ColumnSpec, column_spec, is_band
from catalogs_service.domain.stars import Columns, Stars

HEALPIX_COLUMN = "_healpix_29"
ROWS_PER_PARTITION = 40_000
LAYOUT_VERSION = 1


def partition_path(order: int, pixel: int) -> str:
    """Place of a partition below the mirror's folder."""
    return f"dataset/Norder={order}/Dir={pixel // 10_000 * 10_000}/Npix={pixel}.parquet"


def write_mirror(
    folder: Path,
    stars: Stars,
    *,
    name: str,
    created_at: datetime,
    facts: dict[str, Any],
    threshold: int = ROWS_PER_PARTITION,
) -> dict[str, Any]:
    """Write all files of a mirror into a new folder; return the content of its ``mirror.json``."""
    index = cells(stars["ra"], stars["dec"])
    order = np.argsort(index, kind="stable")
    index, stars = index[order], stars.take(order)
    parts = partition(index, threshold=threshold)
    table = arrow_table(stars.columns).append_column(
        pa.field(HEALPIX_COLUMN, pa.int64()), pa.array(index, type=pa.int64())
    )
    for part in parts:
        path = folder / partition_path(part.order, part.pixel)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_partition(path, table.slice(part.start, part.stop - part.start))
    content = {
        "layout": LAYOUT_VERSION, "name": name, "created_at": created_at.isoformat(), **facts, **summary(stars),
        "partitions": [[part.order, part.pixel, part.stop - part.start] for part in parts],
    }  # fmt: skip
    properties = {
        "obs_collection": name,
        "dataproduct_type": "object",
        "hats_creation_date": content["created_at"],
        "moc_sky_fraction": f"{sky_fraction(parts):.6g}",
    }
    describe_hats(folder, [(part.order, part.pixel) for part in parts], table.schema, len(stars), properties)
    content["size_bytes"] = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    (folder / "mirror.json").write_text(json.dumps(content), encoding="utf-8")
    return content


def write_partition(path: Path, table: pa.Table) -> None:
    """One Parquet file, plain enough to be read fast and by everyone."""
    pq.write_table(table, path, compression="zstd", compression_level=1, use_dictionary=_text_columns(table))


def _text_columns(table: pa.Table) -> list[str]:
    return [field.name for field in table.schema if pa.types.is_string(field.type)]


def arrow_table(columns: Columns) -> pa.Table:
    """Canonical columns as an Arrow table, text as strings, with units and descriptions in the field metadata."""
    arrays, fields = [], []
    for name, values in columns.items():
        text = values.astype(str).astype(object) if values.dtype.kind in "SU" else values
        array = pa.array(text, type=pa.string() if text.dtype == object else None)
        spec = column_spec(name)
        arrays.append(array)
        fields.append(pa.field(name, array.type, metadata=_field_metadata(spec) if spec else None))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def _field_metadata(spec: ColumnSpec) -> dict[str, str]:
    return {
        key: value
        for key, value in (("unit", spec.unit), ("ucd", spec.ucd), ("description", spec.description))
        if value
    }


def summary(stars: Stars) -> dict[str, Any]:
    """What a list holds: bands with their ranges, epochs, fastest motion."""
    epoch = stars["ref_epoch"] if "ref_epoch" in stars else np.array([np.nan])
    motion = 0.0
    if "pmra" in stars and "pmdec" in stars:
        motion = float(np.max(np.nan_to_num(np.hypot(stars["pmra"], stars["pmdec"])), initial=0.0))
    return {
        "rows": len(stars),
        "columns": list(stars.names),
        "bands": [_band(name, stars) for name in stars.names if is_band(name)],
        "ref_epoch_min": _finite(np.nanmin(epoch, initial=np.inf)),
        "ref_epoch_max": _finite(np.nanmax(epoch, initial=-np.inf)),
        "fastest_mas_yr": motion,
    }


def _band(name: str, stars: Stars) -> dict[str, Any]:
    known = stars[name][np.isfinite(stars[name])]
    some = len(known) > 0
    return {
        "name": name,
        "rows": len(known),
        "brightest": round(float(known.min()), 4) if some else None,
        "faintest": round(float(known.max()), 4) if some else None,
    }


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def describe_hats(
    folder: Path, cells: Sequence[tuple[int, int]], schema: pa.Schema, rows: int, properties: Mapping[str, object]
) -> None:
    """Write what readers of HATS look for beside the partitions: cells, columns, and properties, those of a kind among them."""
    lines = ["Norder,Npix", *(f"{order},{pixel}" for order, pixel in cells)]
    (folder / "partition_info.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    pq.write_metadata(schema, folder / "dataset" / "_common_metadata")
    common = {
        "hats_nrows": rows,
        "hats_col_ra": "ra",
        "hats_col_dec": "dec",
        "hats_col_healpix": HEALPIX_COLUMN,
        "hats_col_healpix_order": 29,
        "hats_order": max(order for order, _ in cells),
        "hats_builder": "alidade",
    }
    text = "".join(f"{key}={value}\n" for key, value in {**properties, **common}.items())
    for file_name in ("hats.properties", "properties"):
        (folder / file_name).write_text(text, encoding="utf-8")
