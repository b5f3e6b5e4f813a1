"""Positions as people write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from alidade.client import AlidadeClientError
from alidade.positions import parse_position, read_positions


def written(folder: Path, text: str) -> Path:
    path = folder / "places.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_sky_columns_are_found_by_their_usual_names(tmp_path: Path) -> None:
    rows = read_positions(written(tmp_path, "\ufeffID, RAJ2000,DEJ2000,mag\nSN 1,10.5,-3,17\n"))
    assert rows == [{"name": "SN 1", "ra_deg": 10.5, "dec_deg": -3.0}]


def test_a_catalogue_of_ours_can_be_given_back(tmp_path: Path) -> None:
    rows = read_positions(written(tmp_path, "id,x,y,ra,dec\n1,3,4,10,20\n"))
    assert rows == [{"name": "1", "ra_deg": 10.0, "dec_deg": 20.0}]


def test_a_colour_is_read_where_it_is_known(tmp_path: Path) -> None:
    rows = read_positions(written(tmp_path, "x,y,Colour\n1,2,0.7\n3,4,\n"))
    assert rows == [{"x": 1.0, "y": 2.0, "color": 0.7}, {"x": 3.0, "y": 4.0}]


@pytest.mark.parametrize(
    ("text", "word"), [("a,b\n1,2\n", "neither ra and dec"), ("x,y\n1,north\n", "line 2: y = 'north'"), ("", "nothing")]
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, word: str) -> None:
    with pytest.raises(AlidadeClientError, match=word):
        read_positions(written(tmp_path, text))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(AlidadeClientError, match=r"no\.csv: No such file"):
        read_positions(tmp_path / "no.csv")


def test_one_position_on_the_command_line() -> None:
    assert parse_position("10,-3.5", pixels=False) == {"ra_deg": 10.0, "dec_deg": -3.5}
    assert parse_position("10,3", pixels=True) == {"x": 10.0, "y": 3.0}
    with pytest.raises(AlidadeClientError, match="RA,DEC in degrees"):
        parse_position("12h,4", pixels=False)
