"""Headers made of anything: a state and a reason, never an exception, never long."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from astrometry_service.algorithms.wcs.validation import validate_header
from astrometry_service.domain.wcs_state import WcsState

GOOD = {
    "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.0, "CRVAL2": 2.0, "CRPIX1": 50.5, "CRPIX2": 40.5,
    "CD1_1": -2e-4, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 2e-4, "RADESYS": "ICRS",
}  # fmt: skip
KEYS = [
    *GOOD, "CTYPE3", "CUNIT1", "CUNIT2", "CDELT1", "CDELT2", "CROTA2", "PC1_1", "PC2_1", "PC001001", "PV1_0", "PV1_1", "PV2_1",
    "PV2_3", "PV2_5", "PV1_39", "PV1_40", "A_ORDER", "B_ORDER", "A_2_0", "B_0_2", "AP_ORDER", "BP_ORDER", "WCSAXES", "LONPOLE",
    "LATPOLE", "EQUINOX", "EPOCH", "RADECSYS",
    "CPDIS1", "D2IMDIS1", "WAT1_001", "WAT2_001", "AMDX1", "PLTRAH", "CRVAL3", "CD3_3",
]  # fmt: skip
CODES = ["TAN", "TPV", "SIP", "ZPN", "SIN", "CAR", "AIT", "HPX", "COE", "TNX", "ZPX", "ARC", "NCP", "XXX", ""]
TYPES = [f"{axis}{code}" for axis in ("RA---", "DEC--", "GLON-", "GLAT-", "VOPT-") for code in (*CODES, "TAN-SIP")]
VALUES = st.one_of(
    st.floats(width=64),
    st.integers(-(10**12), 10**12),
    st.sampled_from(TYPES),
    st.sampled_from(
        [
            "ICRS",
            "FK4",
            "FK5",
            "GALACTIC",
            "deg",
            "",
            "12:34:56",
            'wtype=tnx axtype=ra lngcor = "3. 4. 4. 2."',
            "x" * 80,
        ]
    ),
    st.booleans(),
    st.text(max_size=10),
    st.none(),
)


@settings(max_examples=150, deadline=2000, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=12))
def test_spoiled_headers_end_in_a_state(changes: dict[str, object]) -> None:
    found = validate_header({**GOOD, **changes}, 100, 80)
    assert found.state in (WcsState.MISSING, WcsState.MALFORMED, WcsState.UNVERIFIED)
    assert (found.transform is not None) == (found.state is WcsState.UNVERIFIED)
    assert found.problems or found.state is not WcsState.MALFORMED
