"""Columns of a file turned into canonical reference stars, with every assumption reported."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import astropy.units as u
import numpy as np
from numpy.typing import NDArray

from astro_shared.science.column_names import epoch_of_description, find_bands, find_column, unit_of_name
from catalogs_service.algorithms.sexagesimal import degrees_from_text
from catalogs_service.domain.columns import BY_NAME, CANONICAL, EXPECTED, column_spec
from catalogs_service.domain.raw_table import RawColumns, TableHeader
from catalogs_service.domain.stars import Columns, Stars
from catalogs_service.errors import BadValuesError, EmptyCatalogueError, MissingColumnsError

_RA_LOWEST, _RA_HIGHEST = -180.0, 360.0
# Finite values beyond these are another unit, a filler or damage, and count as missing.
_SANE = {"mag": 60.0, "mas/yr": 2.0e4, "mas": 1.0e7}
J2000 = 2000.0


@dataclass(frozen=True, slots=True)
class ColumnChoice:
    """Which column of the file becomes which canonical one."""

    columns: dict[str, str]
    missing: tuple[str, ...]

    def only(self, names: Collection[str]) -> ColumnChoice:
        """The choice without other canonical columns than these."""
        return ColumnChoice({key: name for key, name in self.columns.items() if key in names}, self.missing)


def choose_columns(header: TableHeader, overrides: Mapping[str, str] | None = None) -> ColumnChoice:
    """Match a file's names to canonical columns by overrides, then exact aliases, then aliases without case.

    Raises
    ------
    MissingColumnsError
        There is no right ascension or declination, or an override names a column that is not there.
    """
    chosen: dict[str, str] = {}
    for canonical, name in (overrides or {}).items():
        if name not in header.names:
            raise MissingColumnsError(
                f"There is no column {name!r} in the file.", column=name, found=list(header.names[:50])
            )
        if column_spec(canonical) is None:
            raise MissingColumnsError(f"{canonical!r} is neither a Gaia column nor <band>_mag.", column=canonical)
        chosen[canonical] = name
    for spec in CANONICAL:
        found = None if spec.name in chosen else find_column(spec.name, header.names)
        if found is not None:
            chosen[spec.name] = found
    for canonical, name in find_bands(header.names).items():
        chosen.setdefault(canonical, name)
    lacking = [name for name in ("ra", "dec") if name not in chosen]
    if lacking:
        shown = ", ".join(header.names[:12])
        raise MissingColumnsError(
            f"The file has no column for {' and '.join(lacking)}; its columns begin {shown}.",
            missing=lacking, found=list(header.names[:50]),
        )  # fmt: skip
    return ColumnChoice(chosen, tuple(name for name in EXPECTED if name not in chosen))


def canonical_stars(
    raw: RawColumns,
    choice: ColumnChoice,
    header: TableHeader,
    *,
    ref_epoch: float | None = None,
    keep_rows: bool = False,
) -> tuple[Stars, tuple[str, ...]]:
    """Convert units and types, check ranges, complete identifiers and epochs.

    Parameters
    ----------
    raw : columns of the file by its own names
    choice : from `choose_columns`
    header : units and descriptions
    ref_epoch : Julian year of rows without one; default what the file says of its right ascension, else 2000
    keep_rows : leave no row out, whatever it lacks; its place is its name

    Returns
    -------
    Stars, notes
        Rows without a finite position are dropped and counted in a note, exact repetitions too.

    Raises
    ------
    BadValuesError
        Text in a number, a position off the sky, a unit that cannot be converted.
    EmptyCatalogueError
        No row is left.
    """
    notes: list[str] = []
    columns: Columns = {}
    for canonical, name in choice.columns.items():
        try:
            columns[canonical] = _converted(canonical, name, raw[name], header, notes)
        except BadValuesError as error:
            if canonical in BY_NAME:
                raise
            notes.append(f"{name} was not taken as a band: {error.message}")
    good = np.isfinite(columns["ra"]) & np.isfinite(columns["dec"])
    if not good.any() and not keep_rows:
        raise EmptyCatalogueError("The file has no row with a position.", rows=len(good))
    if not good.all() and not keep_rows:
        notes.append(f"{np.sum(~good)} of {len(good)} rows without a position were left out")
        columns = {name: values[good] for name, values in columns.items()}
    _check_positions(columns, choice, notes)
    _complete_identifiers(columns, choice, notes)
    _complete_epochs(columns, choice, header, ref_epoch, notes)
    stars = Stars(columns) if keep_rows else _without_repetitions(Stars(columns), notes)
    order = [spec.name for spec in CANONICAL if spec.name in stars] + [n for n in stars.names if n not in BY_NAME]
    return Stars({name: stars[name] for name in order}), tuple(notes)


def _converted(canonical: str, name: str, values: NDArray[Any], header: TableHeader, notes: list[str]) -> NDArray[Any]:
    spec = column_spec(canonical)
    assert spec is not None  # noqa: S101 - choose_columns only takes such names
    if spec.dtype == "str":
        return _as_text(canonical, values)
    if spec.dtype == "bool":
        return _as_flag(name, values)
    if canonical == "source_id":
        return values if values.dtype.kind in "iu" else np.asarray(values, object)
    if (
        canonical in ("ra", "dec")
        and values.dtype == object
        and any(":" in v or " " in v.strip() for v in values[:20] if v)
    ):
        notes.append(f"{name} was read as sexagesimal {'hours' if canonical == 'ra' else 'degrees'}")
        return degrees_from_text(values, name, hours=canonical == "ra")
    number = as_float(values, name)
    unit = header.units.get(name) or unit_of_name(name)
    factor = _factor(unit, spec.unit, name)
    if factor != 1.0:
        notes.append(f"{name} was converted from {unit} to {spec.unit}")
        number = number * factor
    limit = _SANE.get(spec.unit)
    if limit is not None:
        wild = np.abs(number) > limit
        if wild.any():
            notes.append(f"{int(wild.sum())} values of {name} beyond {limit:g} {spec.unit} count as missing")
            number = np.where(wild, np.nan, number)
    if np.dtype(spec.dtype).kind == "i":
        return np.nan_to_num(number, nan=0).astype(spec.dtype)
    return np.ascontiguousarray(number, spec.dtype)


def as_float(values: NDArray[Any], name: str) -> NDArray[np.float64]:
    """Numbers of a column; text that is a number is taken, other text names its row."""
    if values.dtype != object:
        return np.asarray(values, np.float64)
    number = np.full(len(values), np.nan)
    for row, value in enumerate(values):
        text = "" if value is None else str(value).strip()
        if text.lower() in ("", "nan", "null", "none", "--", "-", "n/a"):
            continue
        try:
            number[row] = float(text)
        except ValueError:
            shown = text[:40]
            raise BadValuesError(
                f"Column {name} holds {shown!r} in row {row + 1}, which is not a number.", column=name, row=row + 1
            ) from None
    return number


def _factor(unit: str | None, canonical: str, name: str) -> float:
    if not unit or not canonical:
        return 1.0
    try:
        given = u.Unit(unit, parse_strict="raise")
    except (ValueError, TypeError):
        return 1.0
    if canonical == "deg" and given == u.hour:
        given = u.hourangle
    if canonical == "mag":
        given = given if given == u.mag else u.mag if str(given).startswith("mag") else given
    try:
        return float((1 * given).to_value(u.Unit(canonical)))
    except (u.UnitConversionError, TypeError, ValueError):
        raise BadValuesError(
            f"Column {name} is in {unit}, which is not convertible to {canonical}.", column=name
        ) from None


def _as_text(canonical: str, values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype == bool and canonical == "phot_variable_flag":
        return np.where(values, "VARIABLE", "NOT_AVAILABLE").astype(object)
    return np.array(["" if value is None else str(value).strip() for value in values], dtype=object)


def _as_flag(name: str, values: NDArray[Any]) -> NDArray[np.bool_]:
    if values.dtype == bool:
        return values
    if values.dtype == object:
        words = np.array([str(value or "").strip().lower() for value in values])
        return np.isin(words, ("true", "t", "1", "1.0", "yes"))
    return np.nan_to_num(as_float(values, name)) != 0


def _check_positions(columns: Columns, choice: ColumnChoice, notes: list[str]) -> None:
    ra, dec = columns["ra"], columns["dec"]
    for values, low, high, what in ((ra, _RA_LOWEST, _RA_HIGHEST, "ra"), (dec, -90.0, 90.0, "dec")):
        bad = (values < low) | (values > high)
        if bad.any():
            row = int(np.argmax(bad))
            raise BadValuesError(
                f"Column {choice.columns[what]} holds {values[row]:g} in row {row + 1}; {what} is between {low:g} and "
                f"{high:g} degrees. {int(bad.sum())} rows are off the sky.",
                column=choice.columns[what], row=row + 1, rows=int(bad.sum()),
            )  # fmt: skip
    if np.any((ra < 0) | (ra >= 360)):
        notes.append("right ascensions were wrapped into 0 to 360 degrees")
        columns["ra"] = ra % 360.0
    if len(ra) >= 1000 and ra.min() >= 0 and ra.max() <= 24.0 and np.ptp(ra) > 12 and np.ptp(dec) > 30:
        notes.append("right ascensions end at 24: if they are hours, give the column the unit 'hourangle'")


def _complete_identifiers(columns: Columns, choice: ColumnChoice, notes: list[str]) -> None:
    n = len(columns["ra"])
    given = columns.get("source_id")
    if given is not None and given.dtype.kind in "iu":
        columns["source_id"] = given.astype(np.int64)
    else:
        if given is not None:
            text = _as_text("name", given)
            columns["source_id"], numbered = _ids_from_text(text)
            if numbered:
                return
            columns.setdefault("name", text)
        columns["source_id"] = np.arange(1, n + 1, dtype=np.int64)
        notes.append("the rows were numbered, since the file has no integer identifiers")


def identifiers(given: NDArray[Any]) -> NDArray[np.int64]:
    """Integers of an identifier column (n,) where every one is an integer of 64 bits, else the row numbers from 1."""
    if given.dtype.kind in "iu":
        return given.astype(np.int64)
    ids, all_integers = _ids_from_text(_as_text("name", given))
    return ids if all_integers else np.arange(1, len(given) + 1, dtype=np.int64)


def _ids_from_text(text: NDArray[Any]) -> tuple[NDArray[np.int64], bool]:
    """Integers of a text column, if every one is an integer of 64 bits."""
    ids = np.zeros(len(text), np.int64)
    for row, value in enumerate(text):
        if not value.isascii() or not value.isdigit() or int(value) > np.iinfo(np.int64).max:
            return ids, False
        ids[row] = int(value)
    return ids, True


def _complete_epochs(
    columns: Columns, choice: ColumnChoice, header: TableHeader, ref_epoch: float | None, notes: list[str]
) -> None:
    n = len(columns["ra"])
    default = ref_epoch
    if default is None:
        default = epoch_of_description(header.descriptions.get(choice.columns["ra"], ""))
    source = "as asked" if ref_epoch is not None else "as the file describes its positions" if default else "assumed"
    default = J2000 if default is None else default
    given = columns.get("ref_epoch")
    if given is None:
        columns["ref_epoch"] = np.full(n, default)
        notes.append(f"positions are at epoch J{default:g}, {source}")
        return
    unknown = ~np.isfinite(given) | (given < 1800) | (given > 2200)
    if unknown.any():
        columns["ref_epoch"] = np.where(unknown, default, given)
        notes.append(f"{int(unknown.sum())} rows without a usable epoch are at J{default:g}, {source}")


def _without_repetitions(stars: Stars, notes: list[str]) -> Stars:
    """Drop rows whose identifier and position were there before; say where only the identifier was."""
    order = np.lexsort((stars["dec"], stars["ra"], stars["source_id"]))
    ids, ra, dec = stars["source_id"][order], stars["ra"][order], stars["dec"][order]
    same_id = ids[1:] == ids[:-1]
    if not same_id.any():
        return stars
    repeated = same_id & (ra[1:] == ra[:-1]) & (dec[1:] == dec[:-1])
    if int(np.sum(same_id & ~repeated)):
        notes.append(f"{int(np.sum(same_id & ~repeated))} rows share an identifier with another position")
    if not repeated.any():
        return stars
    notes.append(f"{int(repeated.sum())} repeated rows were left out")
    keep = np.ones(len(stars), bool)
    keep[order[1:][repeated]] = False
    return stars.take(keep)
