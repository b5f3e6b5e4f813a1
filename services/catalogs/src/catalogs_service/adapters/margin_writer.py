"""Writing the margin of a list as a HATS margin catalogue, in the columns of the list."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from catalogs_service.adapters.mirror_writer import HEALPIX_COLUMN, describe_hats, partition_path, write_partition
from catalogs_service.algorithms.margins import Tiling, margin_rows
from catalogs_service.ports import HatsList


def write_margin(
    given: HatsList, folder: Path, *, radius_arcsec: float, report: Callable[[float], None] = lambda fraction: None
) -> int:
    """Write the rows of a list that are within a radius of cells they are not in; return how many there are.

    Nothing is written where there is none. Of most partitions only the cells are read; the rows found stay in memory
    until all are.
    """
    parts = np.array(given.facts["partitions"], np.int64).reshape(-1, 3)
    tiling = Tiling(parts[:, 0], parts[:, 1])
    found: dict[tuple[int, int], list[pa.Table]] = defaultdict(list)
    for own, (order, pixel, _) in enumerate(parts.tolist()):
        path = given.folder / partition_path(order, pixel)
        index = pq.read_table(path, columns=[HEALPIX_COLUMN])[HEALPIX_COLUMN].to_numpy()
        near = margin_rows(index, own, tiling, radius_arcsec / 3600)
        if len(near.row):
            table = pq.read_table(path)
            for cell in np.unique(np.stack([near.order, near.pixel]), axis=1).T:
                rows = near.row[(near.order == cell[0]) & (near.pixel == cell[1])]
                found[int(cell[0]), int(cell[1])].append(table.take(rows))
        report((own + 1) / len(parts))
    for cell, tables in found.items():
        path = folder / partition_path(*cell)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_partition(path, pa.concat_tables(tables).sort_by(HEALPIX_COLUMN))
    rows = sum(len(table) for tables in found.values() for table in tables)
    if rows:
        schema = next(iter(found.values()))[0].schema
        name = given.facts["name"]
        properties = {
            "obs_collection": f"{name}_margin",
            "dataproduct_type": "margin",
            "hats_primary_table_url": name,
            "hats_margin_threshold": radius_arcsec,
        }
        describe_hats(folder, sorted(found), schema, rows, properties)
    return rows
