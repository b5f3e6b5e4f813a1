"""Plain lists of stars, as people write them."""

import pytest

from alidade.client import AlidadeClientError
from alidade.star_lists import is_fits, read_star_list


def test_a_list_is_read_and_rows_without_numbers_are_left_out(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("# made by hand\nid,x,y,flux\n1,10.5,20,300\n2,nan,1,1\n3,oops,1,1\n4,11,21,\n")
    assert read_star_list(path) == {"x": [10.5], "y": [20.0], "flux": [300.0]}
    assert not is_fits(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [("x,y\n1,2\n", "flux"), ("", "x, y"), ("x,y,flux\na,b,c\n", "no row")],
)
def test_what_is_no_list_is_refused_with_what_is_missing(tmp_path, text, said):
    path = tmp_path / "list.csv"
    path.write_text(text)
    with pytest.raises(AlidadeClientError, match=said):
        read_star_list(path)


def test_fits_is_known_by_its_first_bytes(tmp_path):
    path = tmp_path / "f.csv"
    path.write_bytes(b"SIMPLE  =                    T")
    assert is_fits(path)
    with pytest.raises(AlidadeClientError, match="no such file"):
        is_fits(tmp_path / "none.fits")
