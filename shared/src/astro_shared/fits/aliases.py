"""One table of aliases per quantity of a header.

For every quantity the first keyword of its row that holds a believable value wins; a value outside the row's range is
passed over with a warning. Units are those of the row; where a card names another one the value is converted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from astropy.io import fits

from astro_shared.fits.exposure_time import EXPOSURE_KEYWORDS, LONGEST_S, SHORTEST_S
from astro_shared.fits.headers import clean_text
from astro_shared.fits.pointing import sexagesimal
from astro_shared.fits.units import plain_number
from astro_shared.frame_warnings import FrameWarning, WarningCode


@dataclass(frozen=True)
class Quantity:
    """One row of the alias table: believable values lie in ``low`` to ``high``."""

    keywords: tuple[str, ...]
    unit: str
    low: float = -math.inf
    high: float = math.inf


#: The alias table of numbers. ESO's ``DET OUTi GAIN`` is ADU per electron; its ``CONAD`` is what others call gain.
QUANTITIES: dict[str, Quantity] = {
    "gain_e_per_adu": Quantity(
        ("GAIN", "EGAIN", "CVF", "HIERARCH ESO DET OUT1 CONAD", "GAINEFF", "EFFGAIN", "EPERDN", "EPERADU", "E_PER_DN", "EPADU",
         "GAIN_E", "CONAD", "CCDGAIN", "ARAWGAIN", "GAINA", "GAIN1"),
        "e/ADU", 1e-3, 1e3,
    ),
    "read_noise_e": Quantity(
        ("RDNOISE", "READNOIS", "RON", "RDNOIS", "ENOISE", "RNOISE", "READ_NOI", "RDNOIS1", "RDOUTNOI",
         "ROUTNOIS", "RONOISE", "HIERARCH ESO DET OUT1 RON", "HIERARCH READNOISE", "RDNOISEA", "READNSEA"),
        "e", 1e-3, 1e4,
    ),
    "saturation_adu": Quantity(
        ("SATURATE", "SATLEVEL", "SATLEV", "SATVAL", "SAT_LVL", "SATURATI", "SATURAT", "SATLIMIT", "SATUR", "SATADU", "MAXLIN",
         "SATURATA"),
        "ADU", 1e-3, 1e9,
    ),
    "exposure_s": Quantity(EXPOSURE_KEYWORDS, "s", SHORTEST_S, LONGEST_S),
    "airmass": Quantity(("AIRMASS", "SECZ", "AMSTART", "HIERARCH ESO TEL AIRM START"), "", 0.99, 40.0),
    "pixel_scale_arcsec": Quantity(
        ("PIXSCALE", "PIXSCAL1", "SECPIX", "SECPIX1", "IM_SCALE", "PIXSCL", "CCDSCALE", "SCALE",
         "HIERARCH ESO INS PIXSCALE", "PIXLSIZE"),
        "arcsec/px", 1e-2, 300.0,
    ),
    "latitude_deg": Quantity(
        ("SITELAT", "LAT-OBS", "OBS-LAT", "LATITUDE", "GEOLAT", "OBSGEO-B", "OBSLAT", "TELLAT",
         "HIERARCH ESO TEL GEOLAT", "HIERARCH ESO TEL LAT"),
        "deg", -90.0, 90.0,
    ),
    "longitude_deg": Quantity(
        ("SITELONG", "LONG-OBS", "OBS-LONG", "LONGITUD", "GEOLON", "OBSGEO-L", "OBSLON", "OBSLONG", "TELLONG",
         "HIERARCH ESO TEL GEOLON", "HIERARCH ESO TEL LON"),
        "deg", -360.0, 360.0,
    ),
    "elevation_m": Quantity(
        ("SITEELEV", "ELEV-OBS", "OBS-ELEV", "ALT-OBS", "HEIGHT", "GEOELEV", "OBSGEO-H", "SITEALT", "OBSALT",
         "HIERARCH ESO TEL GEOELEV", "HIERARCH ESO TEL ALTITUDE"),
        "m", -500.0, 10_000.0,
    ),
}  # fmt: skip

#: The alias table of texts.
TEXTS: dict[str, tuple[str, ...]] = {
    "filter": ("FILTER", "FILTNAM", "FILTER1", "FILTER2", "FILTERID", "FILTERS", "INSFILTE", "FILT", "BAND",
               "HIERARCH ESO INS FILT1 NAME"),
    "image_type": ("IMAGETYP", "OBSTYPE", "IMTYPE", "FRAME", "VIMTYPE", "HIERARCH ESO DPR TYPE"),
    "object": ("OBJECT", "OBJNAME", "TARGNAME", "FIELD"),
    "instrument": ("INSTRUME", "DETECTOR", "CAMERA"),
}  # fmt: skip

_SAYS_NOTHING = ("", "none", "unknown", "n/a", "open", "air", "empty", "clear1", "clear2", "clear1l", "clear2l")


class CardReader:
    """Looks quantities up, keeping from where they are and what was not believed."""

    def __init__(self, header: fits.Header) -> None:
        self.header = header
        self.sources: dict[str, str] = {}
        self.warnings: list[FrameWarning] = []

    def number(self, name: str, factors: dict[str, float] | None = None) -> float | None:
        """The first believable number among the aliases of a quantity, in its unit.

        Parameters
        ----------
        factors
            By keyword: what brings its value to the unit of the row, where the card names another.
        """
        row = QUANTITIES[name]
        for keyword in row.keywords:
            value = self.value(keyword)
            if value is None:
                continue
            value *= (factors or {}).get(keyword, 1.0)
            if row.low <= value <= row.high:
                self.sources[name] = keyword
                return value
            told = f"{keyword} = {value:g} {row.unit} in the header is not believed".replace("  ", " ")
            self.warnings.append(WarningCode.HEADER_VALUE_REJECTED(told))
        return None

    def text(self, name: str) -> str | None:
        """The first text among the aliases that says something."""
        for keyword in TEXTS[name]:
            value = self.header.get(keyword)
            if isinstance(value, str) and value.strip().lower() not in _SAYS_NOTHING:
                self.sources[name] = keyword
                return clean_text(value, limit=60)
        return None

    def comment(self, keyword: str) -> str:
        """Comment of a card; empty where there is none."""
        return str(self.header.comments[keyword]) if keyword in self.header else ""

    def value(self, keyword: str) -> float | None:
        """A card's value as a number; sexagesimal texts count."""
        value = self.header.get(keyword)
        number = plain_number(value)
        return sexagesimal(value) if number is None and isinstance(value, str) else number
