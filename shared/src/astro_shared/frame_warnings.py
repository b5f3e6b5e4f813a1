"""Warnings about a frame: sentences for people, each with the stable code of its kind for programs.

Whoever finds something to say makes the warning with its code, ``WarningCode.COLOUR_MOSAIC("the frame is ...")``. A warning is
a `str`, so that it is listed, joined and written like any sentence.
"""

from __future__ import annotations

from enum import StrEnum

__all__ = ["FrameWarning", "WarningCode"]


class FrameWarning(str):
    """A sentence and the code of its kind; equal to the sentence."""

    __slots__ = ("code",)
    code: WarningCode

    def __new__(cls, sentence: str, code: WarningCode) -> FrameWarning:
        made = super().__new__(cls, sentence)
        made.code = code
        return made

    def __reduce__(self) -> tuple[type[FrameWarning], tuple[str, WarningCode]]:
        return FrameWarning, (str(self), self.code)


class WarningCode(StrEnum):
    """The kinds of warnings: code, when the warning is given, what to do. Codes do not change between releases."""

    meaning: str
    advice: str

    def __new__(cls, code: str, meaning: str, advice: str) -> WarningCode:
        member = str.__new__(cls, code)
        member._value_ = code
        member.meaning, member.advice = meaning, advice
        return member

    def __call__(self, sentence: str) -> FrameWarning:
        """The warning of this kind that says ``sentence``."""
        return FrameWarning(sentence, self)

    # the file
    FILE_STRUCTURE = (
        "file_structure", "The last block of the file is not padded, or bytes follow the last HDU.",
        "Nothing, unless the file was cut off: then fetch it again.",
    )  # fmt: skip
    HEADER_CARDS_INVALID = (
        "header_cards_invalid", "Header cards break the FITS standard. They are read as text or ignored.",
        "Check whether one of them matters (date, gain, WCS), and give its value as a setting.",
    )  # fmt: skip
    FIRST_PLANE_USED = (
        "first_plane_used", "The image has more than two axes. Its first plane is measured.",
        "To measure another plane, write it to a file of its own.",
    )  # fmt: skip
    MASK_PLANE_USED = (
        "mask_plane_used", "A plane beside the image (data quality, errors or weights) masks pixels.",
        "Nothing, if the plane belongs to the image; `input.mask_hdu` and `input.mask_bits` choose otherwise.",
    )  # fmt: skip
    MASK_PLANE_UNUSED = (
        "mask_plane_unused", "A plane beside the image has another size, or would mask most of the frame. It is not used.",
        "Name the right plane with `input.mask_hdu`, and the bits that count with `input.mask_bits`.",
    )  # fmt: skip

    # the detector
    HEADER_VALUE_REJECTED = (
        "header_value_rejected", "A number in the header is impossible for its keyword. It is not used.",
        "Give the right value as a setting of the section `input`.",
    )  # fmt: skip
    PIXEL_UNIT_UNKNOWN = (
        "pixel_unit_unknown", "The unit in the header is not understood. The pixels are taken as ADU.",
        "If they are not ADU, give `input.gain_e_per_adu`, the electrons per unit of the pixels.",
    )  # fmt: skip
    PIXELS_PER_SECOND = (
        "pixels_per_second", "The pixels are a rate. They were multiplied by the exposure time.",
        "Check the exposure time in the summary.",
    )  # fmt: skip
    PIXELS_IN_PHYSICAL_UNIT = (
        "pixels_in_physical_unit", "The pixels are in a physical unit such as Jy. The gain of the header does not apply.",
        "Give `input.gain_e_per_adu`, the electrons per unit of the pixels, if errors matter.",
    )  # fmt: skip
    GAIN_AMBIGUOUS = (
        "gain_ambiguous",
        "The gain cards of the header differ, count ADU per electron, or hold the gain setting of a camera.",
        "Compare `gain_e_per_adu` of the summary with the detector; set `input.gain_e_per_adu` if it is wrong.",
    )  # fmt: skip
    GAIN_ASSUMED = (
        "gain_assumed", "The header has no gain or no read noise. Values were assumed, so errors may be wrong.",
        "Set `input.gain_e_per_adu` and `input.read_noise_e`.",
    )  # fmt: skip
    SATURATION_AMBIGUOUS = (
        "saturation_ambiguous", "The saturation level of the header is in another unit than the pixels.",
        "Set `input.saturation_adu` if stars are wrongly flagged as saturated, or not flagged.",
    )  # fmt: skip
    SATURATION_FROM_PIXELS = (
        "saturation_from_pixels", "The header gives no saturation level, or the stars contradict it. The pixels decide.",
        "Set `input.saturation_adu` if the level named is wrong.",
    )  # fmt: skip
    FRAME_IS_STACK = (
        "frame_is_stack", "The image was combined from several frames. Gain, read noise and exposure follow from how.",
        "If it was combined in another way, set `input.gain_e_per_adu`, `input.read_noise_e` and `input.exposure_s`.",
    )  # fmt: skip

    # exposure, date and place
    EXPOSURE_UNKNOWN = (
        "exposure_unknown", "The header gives no exposure time that can be used. It was derived, or taken as 1 s.",
        "Set `input.exposure_s`. Without it magnitudes are for 1 s and the date may be off by half the exposure.",
    )  # fmt: skip
    EXPOSURE_AMBIGUOUS = (
        "exposure_ambiguous", "The exposure cards of the header differ or name no unit. One reading was chosen.",
        "Check the exposure time in the summary; set `input.exposure_s` if it is wrong.",
    )  # fmt: skip
    DATE_UNKNOWN = (
        "date_unknown", "The header gives no date of observation.",
        "Set `input.date_mid`. Without it there is no airmass and no BJD, and proper motions are not known.",
    )  # fmt: skip
    DATE_INTERPRETED = (
        "date_interpreted",
        "The date was derived from something else than a UTC date with a time: local time, a day, a year, a heliocentric date.",
        "Check the time in the summary; set `input.date_mid` if it is wrong.",
    )  # fmt: skip
    POINTING_UNREADABLE = (
        "pointing_unreadable", "The pointing of the header cannot be read as a position on the sky.",
        "If the frame is not solved, give `solve.ra_deg` and `solve.dec_deg`.",
    )  # fmt: skip
    POINTING_INTERPRETED = (
        "pointing_interpreted", "The unit of the pointing is not given, or its coordinates are exchanged or in hours.",
        "Nothing, if the frame is solved; else give `solve.ra_deg` and `solve.dec_deg`.",
    )  # fmt: skip
    LONGITUDE_SIGN = (
        "longitude_sign", "The longitude of the header counts towards the other side than it says.",
        "Set `input.longitude_deg`, positive towards the east, if the airmass is wrong.",
    )  # fmt: skip

    # the WCS of the header
    WCS_CARDS_IGNORED = (
        "wcs_cards_ignored", "WCS cards of the header are not used: alternate systems, further axes, impossible values.",
        "Nothing, if the frame is solved.",
    )  # fmt: skip
    WCS_NOT_STANDARD = (
        "wcs_not_standard", "The WCS of the header breaks the standard.",
        "Nothing, if the frame is solved; the WCS that is written keeps the standard.",
    )  # fmt: skip
    WCS_REPAIRED = (
        "wcs_repaired", "The WCS of the header was repaired before it was used.",
        "Nothing, if the frame is solved; the WCS that is written keeps the standard.",
    )  # fmt: skip
    WCS_UNVERIFIED = (
        "wcs_unverified", "The frame was not solved. Its positions are those of the WCS of the header.",
        "Do not trust the positions without a check. A deeper reference catalogue may solve the frame.",
    )  # fmt: skip
    WCS_CONTRADICTED = (
        "wcs_contradicted", "The frame was not solved, and stars contradict the WCS of the header.",
        "Solve without the header: `solve.use_header = false`, with a pointing and a scale, or blind.",
    )  # fmt: skip

    # calibration with masters
    OVERSCAN_SUBTRACTED = "overscan_subtracted", "The level of the overscan was subtracted.", "Nothing."
    OVERSCAN_MISSING = (
        "overscan_missing", "The header has no usable BIASSEC. No overscan was subtracted.",
        "Give a master bias, if the frame still holds its bias level.",
    )  # fmt: skip
    MASTERS_APPLIED = "masters_applied", "The frame was calibrated with the masters named.", "Nothing."
    BIAS_MISSING = (
        "bias_missing", "The dark is bias-subtracted and no bias was given. The bias level stays in the frame.",
        "Give the master bias as well.",
    )  # fmt: skip
    DARK_SCALED = (
        "dark_scaled", "The exposure of the frame is much longer than that of the dark, whose noise grows with the scaling.",
        "Use a dark of the exposure of the frame.",
    )  # fmt: skip
    AMPLIFIERS_JOINED = (
        "amplifiers_joined", "The amplifiers of a mosaic were joined, each with its own gain.", "Nothing.",
    )  # fmt: skip
    FEW_FRAMES_IN_MASTER = (
        "few_frames_in_master", "The master is made of few frames, so outliers may remain and its noise is uncertain.",
        "Combine more frames.",
    )  # fmt: skip

    # pixels and sky
    PIXELS_MASKED = (
        "pixels_masked", "Pixels that are not finite, or far below the sky around them, were masked.",
        "Nothing, unless there are many: then look at the frame.",
    )  # fmt: skip
    MANY_SATURATED = (
        "many_saturated", "More than a twentieth of the pixels are saturated.",
        "Check the exposure, and the saturation level in the summary.",
    )  # fmt: skip
    COLOUR_MOSAIC = (
        "colour_mosaic", "The frame has a colour filter array. Magnitudes are for all colours together.",
        "Split the colours before the reduction if one band is wanted.",
    )  # fmt: skip
    SKY_CUT_OFF = (
        "sky_cut_off", "Negative pixels were lost: much of the sky stands at its lowest value.",
        "Keep the sign when the bias or dark is subtracted (floats, or a pedestal).",
    )  # fmt: skip
    NOISE_UNEXPLAINED = (
        "noise_unexplained", "The noise of the sky is far from what gain and read noise predict.",
        "Check the gain, the read noise, a pedestal, and whether the frame is stacked or resampled.",
    )  # fmt: skip
    NOISE_CORRELATED = (
        "noise_correlated", "Neighbouring pixels share noise: the frame was registered, drizzled or smoothed.",
        "Nothing: errors allow for it. Give single frames if you have them.",
    )  # fmt: skip
    NOT_FLATTENED = (
        "not_flattened", "The sky falls off towards the corners as it does without a flat field.",
        "Apply a flat field, or raise `zero_point.spatial_order`.",
    )  # fmt: skip
    NOT_THE_SKY = (
        "not_the_sky", "The frame looks like a calibration frame or a difference of two images. It is not calibrated.",
        "Nothing, if that is right; else correct the image type in the header.",
    )  # fmt: skip
    COSMIC_RAYS_LEFT = (
        "cosmic_rays_left", "No cosmic rays were removed: they cannot be told from stars here, or the frame is too small.",
        "Set `cosmic_rays.enabled = on` to remove them all the same.",
    )  # fmt: skip
    COSMIC_RAY_SEARCH_ADAPTED = (
        "cosmic_ray_search_adapted", "Cosmic rays were searched with other thresholds or another noise than the settings say.",
        "Nothing; if hits remain, check gain and read noise.",
    )  # fmt: skip

    # stars and PSF
    PSF_ASSUMED = (
        "psf_assumed", "No star was good enough for a PSF. A Moffat profile was assumed.",
        "Use aperture magnitudes, or a longer exposure.",
    )  # fmt: skip
    PSF_OF_FEW_STARS = (
        "psf_of_few_stars", "The PSF was made from few stars.",
        "Compare PSF and aperture magnitudes before you use the former.",
    )  # fmt: skip
    PSF_UNDERSAMPLED = (
        "psf_undersampled", "Stars are narrower than a pixel. Fluxes and positions depend on where in its pixel a star lies.",
        "Use the frame at its full resolution, if it was reduced in size.",
    )  # fmt: skip
    PSF_DOES_NOT_HOLD = (
        "psf_does_not_hold", "The PSF leaves more of bright stars than noise explains. Errors were widened by what it costs.",
        "Prefer aperture magnitudes of bright stars; distrust faint sources beside them.",
    )  # fmt: skip
    PARTS_OF_BRIGHT_STARS = (
        "parts_of_bright_stars", "Detections that several bright stars show at the same place were left out: spikes or ghosts.",
        "Distrust faint sources beside bright stars.",
    )  # fmt: skip
    STARS_ELONGATED = (
        "stars_elongated", "Stars are elongated.", "Check tracking and focus.",
    )  # fmt: skip
    SHAPES_NOT_STELLAR = (
        "shapes_not_stellar", "Many sources do not have the shape of a star.",
        "Look at the frame: trailed, out of focus, not linear, or a field of galaxies.",
    )  # fmt: skip
    APERTURE_CORRECTION_MISSING = (
        "aperture_correction_missing", "Too few clean stars tie PSF to aperture fluxes.",
        "Do not mix PSF and aperture magnitudes of this frame.",
    )  # fmt: skip

    # magnitudes
    EXTINCTION_NOT_FITTED = (
        "extinction_not_fitted", "One frame cannot give the extinction. It was fixed, or absorbed in the zero point.",
        "Fit it over a night: `alidade extinction`.",
    )  # fmt: skip
    EXTINCTION_UNCORRECTED = (
        "extinction_uncorrected", "The airmass of the frame or of its stars is not known.",
        "Give the site and the time: `input.latitude_deg`, `input.longitude_deg`, `input.date_mid`.",
    )  # fmt: skip
    COLOR_TERM_MISSING = (
        "color_term_missing", "Too few calibrators with colours, or too small a range of colour, for a colour term.",
        "Expect magnitudes of very red and very blue stars to be off.",
    )  # fmt: skip

    # reference stars and the solution
    REFERENCE_UNREACHABLE = (
        "reference_unreachable", "The reference catalogue could not be asked, or a source of it was skipped.",
        "Try again later, mirror the region (`alidade reference mirror`), or give a list of your own.",
    )  # fmt: skip
    REFERENCE_EMPTY = (
        "reference_empty", "The reference catalogue has no stars where the frame was thought to be.",
        "Check the pointing, or the region that your list covers.",
    )  # fmt: skip
    REFERENCE_ALL_SKY_LIST = (
        "reference_all_sky_list", "The solution stands on the local list of bright stars, without proper motions.",
        "Reduce the frame again when the reference catalogue can be reached.",
    )  # fmt: skip
    REFERENCE_LIST_INCOMPLETE = (
        "reference_list_incomplete", "The reference list has no errors of position or no proper motions.",
        "Add the columns if you have them; until then the systematic scatter contains both.",
    )  # fmt: skip
    EPOCH_ASSUMED = (
        "epoch_assumed", "The frame has no date. Its epoch follows from proper motions or is that of the reference list.",
        "Set `input.date_mid`.",
    )  # fmt: skip
    SOLUTION_NOT_REFINED = (
        "solution_not_refined", "The solution was found but could not be refined. Its positions are those of the first fit.",
        "Give a deeper reference list, or detect fainter sources.",
    )  # fmt: skip
    ERROR_MODEL_UNDETERMINED = (
        "error_model_undetermined", "The residuals do not determine every figure of the error model.",
        "Nothing; the figures named are not measurements.",
    )  # fmt: skip
    SOURCE_LIST_INTERPRETED = (
        "source_list_interpreted", "The columns of a source list of another program were interpreted.",
        "Check that the columns named are those that you mean.",
    )  # fmt: skip

    UNCLASSIFIED = (
        "unclassified", "The result was made by a release without codes for warnings.", "Read the sentence.",
    )  # fmt: skip
