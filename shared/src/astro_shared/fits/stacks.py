"""Images that are the mean, median or sum of several frames: what header says so, and what follows for the noise."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import StrEnum

from astropy.io import fits

from astro_shared.fits.units import plain_number, seconds
from astro_shared.frame_warnings import FrameWarning, WarningCode

#: Keywords that count the frames of a stack.
COUNTS = ("NCOMBINE", "NCOMB", "NCOADD", "NCOADDS", "NSTACK", "NSTACKED", "STACKCNT", "STACKNUM", "STCKCNT", "NUMSTACK",
          "NUMCOMB", "NUM_COMB", "N_COMB", "NMEAN", "NAVG", "NMED", "NSUM")  # fmt: skip
#: Keywords that may as well count something else: they need words that speak of combining.
DOUBTFUL_COUNTS = ("NIMAGES", "NIMAGE", "NIMGS", "NUMIMG", "N_IMAGES", "NFRAMES", "NFRAME", "NUMFRAME", "N_FRAMES", "NFRM",
                   "SNAPSHOT", "COADDS", "COADD", "NEXP", "NUMEXP", "NSUB", "NSUBS")  # fmt: skip
METHODS = ("COMBINE", "COMBMETH", "COMBTYPE", "COMB_TYP", "COMBINET", "COMBOPT", "COMBMODE", "STACKMET", "STACKTYP", "STACKMOD",
           "STACK", "STCKMETH", "STCKTYPE", "STCKMODE", "METHOD", "COADDTYP", "COADDMET", "HIERARCH COMBINE_METHOD",
           "HIERARCH STACK_METHOD", "HIERARCH STACKING_METHOD")  # fmt: skip
#: Keywords of the exposure time of all frames together.
TOTALS = ("TEXPTIME", "TOTEXP", "TOT_EXP", "EXPTOT", "EXP_TOT", "TOTEXPT", "EXPTOTAL", "TOTALEXP", "LIVETIME", "TOTTIME",
          "TEXPOS", "SUMEXP", "EXPSUM", "INTTIME", "TINTEG")  # fmt: skip
MOST_FRAMES = 100_000
AGREES = 0.05

_INPUT = re.compile(r"IMCMB\d{3}")
_COMBINED = re.compile(r"combin|stack|co-?add|averag|\bmeans?\b|median|\bsum(?:med)?\b|\badded\b|merged|\bmean\b", re.I)
_MEDIAN = re.compile(r"\bmed(?:ian)?\b|median", re.I)
_SUM = re.compile(r"\bsum(?:med|ming)?\b|\badded\b|\baddition\b|\badd\b", re.I)
_MEAN = re.compile(r"\bmean\b|averag|\bavg\b|\bave\b|sigma.?clip|avsigclip|\bweighted\b|winsor", re.I)
_OTHER_FRAMES = re.compile(r"bias|zero|dark|flat|master|fringe|background|sky\b", re.I)
_SINGLE = re.compile(r"\bper\b|\bsingle|\beach|\bindividual|\bone\b|\bsub\b", re.I)
_TOTAL = re.compile(r"\btotal|\bsum|\bcombined|\bintegrated|\beffective|\ball\b|\bcoadd", re.I)
_OWN_GAIN = re.compile(r"effective|combined|stack|coadd|\bmean image|\bsum", re.I)


class Method(StrEnum):
    """How the frames became one image."""

    MEAN = "mean"
    MEDIAN = "median"
    SUM = "sum"


@dataclass(frozen=True)
class Stack:
    """An image made of several frames.

    Attributes
    ----------
    frames
        Two or more.
    is_stated
        Whether the header says the method; a mean is assumed otherwise.
    keyword
        That told the number.
    reason
        Of the method, where something else than the header tells it.
    """

    frames: int
    method: Method
    is_stated: bool
    keyword: str
    reason: str = ""

    @property
    def gain_factor(self) -> float:
        """Electrons of the whole exposure in one ADU, over the gain of one frame.

        Notes
        -----
        N for a mean and a median, whose level is the same, 1 for a sum.
        """
        return 1.0 if self.method is Method.SUM else float(self.frames)

    @property
    def read_noise_factor(self) -> float:
        """Read noise of the whole exposure in electrons, over that of one frame.

        Notes
        -----
        A median of normal noise has pi / 2 times the variance of the mean.
        """
        return math.sqrt(self.frames * (math.pi / 2 if self.method is Method.MEDIAN else 1.0))

    @property
    def level_factor(self) -> float:
        """Where pixels saturate, over the level of one frame."""
        return float(self.frames) if self.method is Method.SUM else 1.0


def read_stack(header: fits.Header) -> tuple[Stack | None, list[FrameWarning]]:
    """Whether the image is a mean, median or sum of frames, and warnings.

    Notes
    -----
    The method is looked for in the comment of the count, in cards such as COMBMETH, then in HISTORY. Counts of images
    or frames (NFRAMES, NIMAGES) are believed only together with words that speak of combining.
    """
    words = _words(header)
    for keyword in (*COUNTS, *DOUBTFUL_COUNTS):
        frames = plain_number(header.get(keyword))
        if frames is None or frames != int(frames) or not 2 <= frames <= MOST_FRAMES:
            continue
        comment = str(header.comments[keyword])
        if keyword in DOUBTFUL_COUNTS and not _COMBINED.search(f"{comment} {words}"):
            told = (
                f"{keyword} = {frames:g} in the header: if the image is made of so many frames, its gain is not that of one "
                "(set input.gain_e_per_adu and input.read_noise_e)"
            )
            return None, [WarningCode.FRAME_IS_STACK(told)]
        method = _method(comment) or _method(words)
        return Stack(int(frames), method or Method.MEAN, method is not None, keyword), []
    inputs = sum(_INPUT.fullmatch(key) is not None for key in header)
    if inputs >= 2:
        method = _method(words)
        return Stack(inputs, method or Method.MEAN, method is not None, "IMCMB001"), []
    return None, []


def stack_keywords(header: fits.Header) -> set[str]:
    """The cards that say of how many frames an image is made."""
    return {key for key in header if key in COUNTS or key in DOUBTFUL_COUNTS or _INPUT.fullmatch(key)}


def total_exposure(
    header: fits.Header, stack: Stack, exposure_s: float, comment: str, span_s: float | None, *, is_rate: bool
) -> tuple[float, str]:
    """Exposure time of all frames together, and what was assumed.

    Parameters
    ----------
    exposure_s, comment
        As the header tells it, and the comment of its card.
    is_rate
        Pixels per second: their exposure is that of the whole.
    """
    whole = stack.frames * exposure_s
    for keyword in TOTALS:
        duration = seconds(header.get(keyword), str(header.comments[keyword]))[0] if keyword in header else None
        if duration and abs(duration / whole - 1) < AGREES:
            return whole, f"{keyword} is {stack.frames} exposures of {exposure_s:g} s"
        if duration and abs(duration / exposure_s - 1) < AGREES:
            return exposure_s, f"the exposure of {exposure_s:g} s is that of all frames together, as {keyword} says"
    if _TOTAL.search(comment):
        return exposure_s, f"the exposure of {exposure_s:g} s is that of all frames together, as its comment says"
    if _SINGLE.search(comment):
        return whole, f"the exposure of {exposure_s:g} s is that of one frame, as its comment says"
    if span_s is not None and span_s < 0.9 * whole:
        return exposure_s, f"the exposure of {exposure_s:g} s is that of all frames together: {span_s:g} s hold no more"
    if is_rate or stack.method is Method.SUM:
        return exposure_s, f"the exposure of {exposure_s:g} s is assumed to be that of all frames together"
    return whole, f"the exposure of {exposure_s:g} s is assumed to be that of one frame (together {whole:g} s)"


def has_own_value(comment: str) -> bool:
    """Whether the comment of a gain or read noise says that it is that of the stack."""
    return bool(_OWN_GAIN.search(comment))


def _words(header: fits.Header) -> str:
    """What the header says of how frames were combined, without lines about calibration frames."""
    cards = [f"{header[key]} {header.comments[key]}" for key in METHODS if isinstance(header.get(key), str)]
    lines = [str(line) for key in ("HISTORY", "COMMENT") if key in header for line in header[key]]
    told = [line for line in reversed(lines[-2000:]) if _COMBINED.search(line) and not _OTHER_FRAMES.search(line)]
    return " ".join([*cards, *told[:20]])


def _method(words: str) -> Method | None:
    """The method that words name; None where they name none or several."""
    named = [
        method
        for method, pattern in ((Method.MEDIAN, _MEDIAN), (Method.SUM, _SUM), (Method.MEAN, _MEAN))
        if pattern.search(words)
    ]
    return named[0] if len(named) == 1 else None
