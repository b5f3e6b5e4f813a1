"""What is written on the command line, as settings."""

from __future__ import annotations

import pytest

from alidade.cli.process import settings_from_options
from alidade.client import AlidadeClientError
from astro_shared.contracts.settings import resolve


def test_options_become_sections() -> None:
    made = settings_from_options(
        ["detection.detect_snr=6", "zero_point.band=V", 'identification.catalogues=["vsx"]', "solve.blind=false"],
        "83.6,-5.4,2",
        "0.5,1.5",
    )
    assert made["detection"] == {"detect_snr": 6}
    assert made["zero_point"] == {"band": "V"}
    assert made["identification"] == {"catalogues": ["vsx"]}
    assert made["solve"] == {
        "blind": False, "ra_deg": 83.6, "dec_deg": -5.4, "radius_deg": 2.0,
        "scale_low_arcsec": 0.5, "scale_high_arcsec": 1.5,
    }  # fmt: skip
    assert resolve(made).solve.ra_deg == 83.6


def test_a_hint_without_a_radius_leaves_its_default() -> None:
    assert settings_from_options([], "10,20", None) == {"solve": {"ra_deg": 10.0, "dec_deg": 20.0}}


@pytest.mark.parametrize(
    ("overrides", "hint", "scale", "word"),
    [
        (["nonsense"], None, None, "SECTION.KEY=VALUE"),
        (["a=1"], None, None, "SECTION.KEY=VALUE"),
        ([".b=1"], None, None, "SECTION.KEY=VALUE"),
        ([], "12h30m", None, "RA,DEC"),
        ([], "1,2,3,4", None, "RA,DEC"),
        ([], None, "1", "LOW,HIGH"),
        ([], None, "1,x", "LOW,HIGH"),
    ],
)
def test_what_cannot_be_understood_names_the_form(
    overrides: list[str], hint: str | None, scale: str | None, word: str
) -> None:
    with pytest.raises(AlidadeClientError, match=word):
        settings_from_options(overrides, hint, scale)
