"""A cone search by pyvo: ``python search_with_pyvo.py URL RA DEC RADIUS_DEG [TOKEN]``; JSON on standard output."""

import json
import sys

import pyvo
import requests

url, (ra, dec, radius_deg) = sys.argv[1], map(float, sys.argv[2:5])
session = requests.Session()
session.trust_env = False
if len(sys.argv) > 5:
    session.headers["Authorization"] = f"Bearer {sys.argv[5]}"
try:
    found = pyvo.dal.SCSService(url, session=session).search(pos=(ra, dec), radius=radius_deg, verbosity=3)
    print(
        json.dumps(
            {
                "ids": sorted(record.id for record in found),
                "columns": list(found.fieldnames),
                "positions": [[record.pos.ra.deg, record.pos.dec.deg] for record in found],
            }
        )
    )
except pyvo.dal.DALQueryError as error:
    print(json.dumps({"error": str(error)}))
