"""Warnings keep their codes on every way that they travel."""

import copy
import pickle
import re
from dataclasses import dataclass, replace

import pytest
from pydantic import ValidationError

from astro_shared.contracts.photometry import MasterResult
from astro_shared.contracts.warned import coded_warnings
from astro_shared.frame_warnings import FrameWarning, WarningCode

MASTER = MasterResult(
    kind="bias", n_frames=3, width_px=10, height_px=8, median=1.0, error=0.1, masked_pixels=0, bias_subtracted=False,
    warnings=(WarningCode.FEW_FRAMES_IN_MASTER("3 frames"), WarningCode.PIXELS_MASKED("2 pixels")),
)  # fmt: skip


@dataclass(frozen=True)
class Held:
    warnings: tuple[FrameWarning, ...]


def test_a_warning_is_its_sentence_with_a_code():
    warning = WarningCode.GAIN_ASSUMED("no gain")
    assert warning == "no gain" and warning.code is WarningCode.GAIN_ASSUMED == "gain_assumed"


def test_a_copy_keeps_the_code():
    held = Held((WarningCode.GAIN_ASSUMED("no gain"),))
    for copied in (copy.deepcopy(held), pickle.loads(pickle.dumps(held)), replace(held)):
        assert copied == held and copied.warnings[0].code is WarningCode.GAIN_ASSUMED


def test_every_kind_says_when_it_is_given_and_what_to_do():
    for code in WarningCode:
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", code) and code.name == code.upper()
        assert code.meaning.endswith(".") and code.advice.endswith(".")


def test_json_holds_sentences_and_beside_them_their_codes():
    document = MASTER.model_dump(mode="json")
    assert document["warnings"] == ["3 frames", "2 pixels"]
    assert document["warning_codes"] == ["few_frames_in_master", "pixels_masked"]
    assert [type(sentence) for sentence in document["warnings"]] == [str, str]


def test_a_result_is_read_back_with_its_codes():
    for back in (
        MasterResult.model_validate_json(MASTER.model_dump_json()),
        MasterResult.model_validate(MASTER.model_dump()),
    ):
        assert back == MASTER and [w.code for w in back.warnings] == [w.code for w in MASTER.warnings]


def test_warnings_that_are_exchanged_bring_their_codes():
    other = MASTER.model_copy(update={"warnings": (WarningCode.DARK_SCALED("long"),)})
    assert other.warning_codes == ("dark_scaled",)


def test_a_result_of_before_the_codes_is_read_as_unclassified():
    document = {k: v for k, v in MASTER.model_dump().items() if k != "warning_codes"}
    assert MasterResult.model_validate(document).warning_codes == ("unclassified", "unclassified")
    assert [w.code for w in coded_warnings({"warnings": ["a"], "warning_codes": ["of_a_later_release"]})] == [
        WarningCode.UNCLASSIFIED
    ]
    assert coded_warnings({}) == ()


def test_a_warning_that_is_no_sentence_is_refused():
    document = {k: v for k, v in MASTER.model_dump().items() if k != "warning_codes"}
    with pytest.raises(ValidationError, match="a warning is a sentence"):
        MasterResult.model_validate({**document, "warnings": [3]})


def test_a_sentence_that_came_in_without_its_code_costs_no_result():
    """``model_copy`` does not check what it is given."""
    copied = MASTER.model_copy(update={"warnings": ("said", WarningCode.COLOUR_MOSAIC("mosaic"))})
    assert copied.model_dump()["warning_codes"] == ("unclassified", "colour_mosaic")
