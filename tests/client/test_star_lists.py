"""Plain lists of stars, as people write them."""

import pytest

from alidade.client import AlidadeClientError
from alidade.star_lists import is_fits, read_star_list


def test_a_list_is_read_and_rows_without_numbers_are_left_out(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("# made by hand\nx,y,flux\n10.5,20,300\nnan,1,1\noops,1,1\n11,21,\n")
    assert read_star_list(path) == {"x": [10.5], "y": [20.0], "flux": [300.0]}
    assert not is_fits(path)


def test_a_list_without_numbers_is_refused(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("x,y,flux\na,b,c\n")
    with pytest.raises(AlidadeClientError, match="no row"):
        read_star_list(path)


@pytest.mark.parametrize("text", ["X_IMAGE,Y_IMAGE,FLUX_AUTO\n1,2,3\n", "x,y\n1,2\n", "", "x,y,flux,errx2\n1,2,3,1\n"])
def test_other_columns_are_left_to_the_service(tmp_path, text):
    path = tmp_path / "list.csv"
    path.write_text(text)
    assert read_star_list(path) is None


def test_fits_is_known_by_its_first_bytes(tmp_path):
    path = tmp_path / "f.csv"
    path.write_bytes(b"SIMPLE  =                    T")
    assert is_fits(path)
    with pytest.raises(AlidadeClientError, match="no such file"):
        is_fits(tmp_path / "none.fits")
