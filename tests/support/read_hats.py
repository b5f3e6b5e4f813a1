"""What `hats` and LSDB make of two lists: ``python read_hats.py LEFT RIGHT RA DEC RADIUS_DEG MATCH_ARCSEC``.

JSON on standard output.
"""

import json
import sys

import hats
import lsdb
from hats.io.validation import is_valid_catalog

left, right = sys.argv[1:3]
ra, dec, radius_deg, match_arcsec = map(float, sys.argv[3:])
catalogue = hats.read_hats(left)
first, second = lsdb.open_catalog(left), lsdb.open_catalog(right)
cone = first.cone_search(ra, dec, radius_deg * 3600).compute()
pairs = first.crossmatch(
    second, radius_arcsec=match_arcsec, suffixes=("_l", "_r"), suffix_method="all_columns"
).compute()
json.dump(
    {
        "valid": bool(is_valid_catalog(left, strict=True)),
        "rows": int(catalogue.catalog_info.total_rows),
        "pixels": len(catalogue.get_healpix_pixels()),
        "columns": {name: str(dtype) for name, dtype in first.dtypes.items()},
        "cone": sorted(cone["source_id"].tolist()),
        "pairs": sorted(zip(pairs["source_id_l"].tolist(), pairs["source_id_r"].tolist(), strict=True)),
    },
    sys.stdout,
)
