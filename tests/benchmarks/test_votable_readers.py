"""Our VOTable reader against astropy's: time, memory, and what hostile documents do to each."""

import base64
import importlib.util
import json
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(3000)]

COMMAND = "pytest -m benchmark tests/benchmarks/test_votable_readers.py"
ROOT = Path(__file__).parents[2]
RECORD = ROOT / "docs" / "decisions" / "0006-own-votable-reader.md"
DOUBLE = '<FIELD name="a" datatype="double"/>'
TEXT = '<FIELD name="a" datatype="char" arraysize="*"/>'


def _page():
    spec = importlib.util.spec_from_file_location("validation_page", ROOT / "tests" / "support" / "validation_page.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read_by(reader, path):
    script = ROOT / "tests" / "support" / "votable_readers.py"
    run = subprocess.run([sys.executable, script, reader, path], capture_output=True, check=True, timeout=600)
    return json.loads(run.stdout)


def star_list(path, rows, form):
    """Seven columns of a catalogue: identifier, floats of both widths, an integer and text."""
    rng = np.random.default_rng(5)
    columns = {
        "a": rng.integers(0, 2**62, rows),
        "ra": rng.uniform(0, 360, rows),
        "dec": rng.uniform(-90, 90, rows),
        "pmra": rng.normal(0, 10, rows),
        "phot_g_mean_mag": rng.uniform(5, 20, rows).astype("f4"),
        "n": rng.integers(0, 1000, rows).astype("i4"),
        "name": np.array([f"Star {row}" for row in range(rows)]),
    }
    Table(columns).write(path, format="votable", tabledata_format=form)


def document(body, fields=DOUBLE, table="<TABLE>", version="1.4"):
    inner = f"{table}{fields}<DATA>{body}</DATA></TABLE>"
    return f'<?xml version="1.0"?><VOTABLE version="{version}"><RESOURCE>{inner}</RESOURCE></VOTABLE>'


def rows(*cells):
    return "<TABLEDATA>" + "".join(f"<TR><TD>{cell}</TD></TR>" for cell in cells) + "</TABLEDATA>"


def stream(raw):
    return f'<BINARY><STREAM encoding="base64">{base64.b64encode(raw).decode()}</STREAM></BINARY>'


def hostile(secret):
    """Documents by what is wrong with them."""
    short, integer = (f'<FIELD name="a" datatype="{kind}"/>' for kind in ("short", "int"))
    wide = '<FIELD name="a" datatype="{}" arraysize="1000000"/>'
    return {
        "stream cut inside its second row": document(stream(struct.pack(">d", 1.0) + b"abc")),
        "cell that claims 2^31 characters": document(stream(struct.pack(">I", 2**31)), TEXT),
        "stream at a file:// address": document(f'<BINARY><STREAM href="{secret.as_uri()}"/></BINARY>'),
        "text in a column of numbers": document(rows("abc")),
        "999999 in a `short`": document(rows("999999"), short),
        "empty integer, VOTable 1.1": document(rows("7", ""), integer, version="1.1"),
        "name with an accent in BINARY": document(stream(struct.pack(">I", 2) + "é".encode()), TEXT),
        "300 cells of `char[1000000]`": document(rows(*["x"] * 300), wide.format("char")),
        "300 empty cells of `double[1000000]`": document(rows(*[""] * 300), wide.format("double")),
        "`nrows` of 5,000,000 with `char[1000]`": document(
            rows("x"), TEXT.replace("*", "1000"), '<TABLE nrows="5000000">'
        ),
    }


def test_our_reader_against_astropys(tmp_path):
    page, times, outcomes = _page(), [], []
    for form in ("tabledata", "binary2"):
        for count in (10**4, 10**5, 10**6):
            path = tmp_path / f"{form}-{count}.vot"
            star_list(path, count, form)
            own, theirs = read_by("own", path), read_by("astropy", path)
            size = f"{path.stat().st_size / 1e6:.1f}"
            ratio = theirs["seconds"] / own["seconds"]
            cells = [f"{found['seconds']:.2f} s, {found['megabytes']:.0f} MB" for found in (own, theirs)]
            times.append((form.upper(), f"{count:,}", size, *cells, ratio))
            path.unlink()
    (tmp_path / "secret").write_bytes(struct.pack(">d", 42.0))
    for name, text in hostile(tmp_path / "secret").items():
        path = tmp_path / "hostile.vot"
        path.write_text(text, encoding="utf-8")
        told = []
        for reader in ("own", "astropy"):
            found = read_by(reader, path)
            memory = f" ({found['megabytes']:.0f} MB)" if found["megabytes"] > 100 else ""
            told.append(found["outcome"].replace("|", "/")[:90] + memory)
        outcomes.append((name, *told))
    lines = [
        "Processor seconds, and memory beyond the document's, of one read in a process of its own, without the limit of size.",
        "",
        *page.table(("form", "rows", "MB", "own", "astropy", "time, astropy / own"), times),
        "",
        "What hostile documents come to:",
        "",
        *page.table(("document", "own", "astropy"), outcomes),
    ]
    page.write_section("votable readers", "Measured", lines, command=COMMAND, page=RECORD)
