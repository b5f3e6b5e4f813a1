import pytest

from astro_shared.contracts.settings import AstrometrySettings
from astrometry_service.algorithms.refinement.options import RefineOptions
from astrometry_service.workflows.refine_settings import refine_options


def test_default_settings_are_default_options() -> None:
    found, default = refine_options(AstrometrySettings()), RefineOptions()
    assert found.regions == default.regions
    assert (found.clipping_threshold, found.error_threshold, found.min_snr) == (
        default.clipping_threshold,
        default.error_threshold,
        default.min_snr,
    )
    assert found.fixed_degree is None and found.degree == default.degree and found.prior is None


def test_every_setting_arrives() -> None:
    settings = AstrometrySettings(
        regions=(4, 3), region_seeds="astroalign", clipping_threshold=2.5, error_threshold=3.0, degree=4, max_degree=5,
        catalogue_errors=False, min_snr=8.0, debug=True,
    )  # fmt: skip
    found = refine_options(settings, fwhm_px=2.2)
    assert (found.regions.columns, found.regions.rows, found.regions.seeds) == (4, 3, "astroalign")
    assert (found.clipping_threshold, found.error_threshold, found.fixed_degree) == (2.5, 3.0, 4)
    assert found.regions.clipping_threshold == 2.5
    assert found.degree.highest == 5 and not found.catalogue_errors and found.min_snr == 8.0
    assert found.debug and found.fwhm_px == 2.2


@pytest.mark.parametrize("way", ["auto", "astroalign", "nearest"])
def test_every_way_to_match_regions_is_a_setting(way: str) -> None:
    assert refine_options(AstrometrySettings.model_validate({"region_seeds": way})).regions.seeds == way
