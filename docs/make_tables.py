"""Write docs/columns.md and the table of flags in docs/conventions.md from the code that defines them.

``python docs/make_tables.py``
"""

from __future__ import annotations

from pathlib import Path

from astro_shared.contracts.settings import CATALOGUES
from astro_shared.contracts.tables import CALIBRATORS, MATCHES, PAIRS, TableSchema, catalog_schema
from photometry_service.domain.flags import FLAG_TABLE

DOCS = Path(__file__).parent
BEGIN, END = "<!-- flags: begin -->", "<!-- flags: end -->"
FILES = (
    (
        catalog_schema(CATALOGUES),
        "`catalog.csv`, `.parquet`, `.ecsv`, `.vot`",
        "One row per source, the brightest first.",
    ),
    (CALIBRATORS, "`calibrators.csv`", "Every reference star in the frame: used for the zero point, or why not."),
    (PAIRS, "`astrometry_pairs.csv`", "Every pair of source and reference star of the astrometric fit."),
    (MATCHES, "`matches.csv`", "Every candidate of every catalogue for every source."),
)
HEAD = """<!-- Made by docs/make_tables.py; change the code, then run `make docs-tables`. -->
# Columns

Fluxes are in electrons over the whole exposure, pixel positions are zero-based, sky positions are ICRS at the epoch of the
exposure, errors are one sigma. A missing value is an empty cell in CSV, null in Parquet, and NaN in ECSV and VOTable.
See [conventions](conventions.md) for flags and magnitudes. The definitions are in `astro_shared.contracts.tables`.
"""


def columns_page() -> str:
    """Text of docs/columns.md."""
    return HEAD + "".join(_section(*entry) for entry in FILES)


def flags_table() -> str:
    """The table of flags."""
    rows = [f"| {row.bit} | {int(row.flag)} | `{row.name}` | {row.meaning} |" for row in FLAG_TABLE]
    return "\n".join([BEGIN, "| bit | value | name | meaning |", "|--|--|--|--|", *rows, END])


def with_flags(page: str) -> str:
    """docs/conventions.md with the table of flags between its marks."""
    head, rest = page.split(BEGIN, 1)
    return head + flags_table() + rest.split(END, 1)[1]


def _section(schema: TableSchema, files: str, words: str) -> str:
    rows = [
        f"| `{c.name}` | {c.dtype} | {c.unit} | {c.ucd.replace('|', ' ')} | {c.description} |" for c in schema.columns
    ]
    return "\n".join(
        ["", f"## {files}", "", words, "", "| name | type | unit | UCD | meaning |", "|--|--|--|--|--|", *rows, ""]
    )


def pages() -> dict[Path, str]:
    """Both pages and the text that each should have."""
    conventions = DOCS / "conventions.md"
    return {
        DOCS / "columns.md": columns_page(),
        conventions: with_flags(conventions.read_text(encoding="utf-8")),
    }


def main() -> None:
    """Write both."""
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
