"""Cone searches by TAP: our own ADQL, numbers formatted from floats, names quoted."""

from __future__ import annotations

from catalogs_service.domain.questions import Question
from catalogs_service.domain.regions import Cone

VOTABLE_TEXT = "votable/td"


def cone_condition(ra: str, dec: str, cone: Cone) -> str:
    """ADQL that holds for positions inside a cone."""
    circle = f"CIRCLE('ICRS', {number(cone.ra_deg)}, {number(cone.dec_deg)}, {number(cone.radius_deg)})"
    return f"1 = CONTAINS(POINT('ICRS', {ra}, {dec}), {circle})"


def select(columns: str, table: str, condition: str) -> str:
    """One ADQL query of parts that were made here; what comes from outside has gone through `quoted` or `number`."""
    return " ".join(("SELECT", columns, "FROM", table, "WHERE", condition))


def number(value: float) -> str:
    """A float as ADQL reads it: no exponent, no word."""
    return f"{float(value):.8f}"


def quoted(name: str) -> str:
    """A table or column name as a delimited identifier."""
    return '"' + name.replace('"', '""') + '"'


def sync_question(url: str, adql: str, *, most_rows: int, response_format: str = VOTABLE_TEXT) -> Question:
    """A synchronous TAP query; one row more than wanted is asked for, so that a cut is seen."""
    form = {
        "REQUEST": "doQuery",
        "LANG": "ADQL",
        "FORMAT": response_format,
        "MAXREC": str(most_rows + 1),
        "QUERY": adql,
    }
    return Question(url, adql, method="POST", form=form)
