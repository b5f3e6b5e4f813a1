"""Results with warnings: the sentences, and beside them their codes in the same order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, PlainSerializer, PlainValidator, WithJsonSchema, computed_field, model_validator

from astro_shared.frame_warnings import FrameWarning, WarningCode

__all__ = ["Warned", "coded_warnings"]

_KNOWN: Mapping[str, WarningCode] = {str(code): code for code in WarningCode}


def coded_warnings(document: Mapping[str, Any]) -> tuple[FrameWarning, ...]:
    """The warnings of a result as JSON holds it; one that was stored without its code is `UNCLASSIFIED`."""
    sentences = document.get("warnings") or ()
    codes = document.get("warning_codes") or ()
    if len(codes) != len(sentences):
        codes = [WarningCode.UNCLASSIFIED] * len(sentences)
    return tuple(
        sentence if isinstance(sentence, FrameWarning) else _KNOWN.get(code, WarningCode.UNCLASSIFIED)(sentence)
        for sentence, code in zip(sentences, codes, strict=True)
    )


def _warning(value: Any) -> FrameWarning:
    if isinstance(value, FrameWarning):
        return value
    if isinstance(value, str):
        return WarningCode.UNCLASSIFIED(value)
    raise ValueError("a warning is a sentence")


Sentence = Annotated[
    FrameWarning, PlainValidator(_warning), PlainSerializer(str, return_type=str), WithJsonSchema({"type": "string"})
]


class Warned(BaseModel):
    """A model with ``warnings``; ``warning_codes`` is written beside them and read back into them."""

    warnings: tuple[Sentence, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _reunite(cls, data: Any) -> Any:
        if not isinstance(data, Mapping) or "warning_codes" not in data:
            return data
        return {**{k: v for k, v in data.items() if k != "warning_codes"}, "warnings": coded_warnings(data)}

    @computed_field(description="Codes of `warnings`, in the same order.")  # type: ignore[prop-decorator]
    @property
    def warning_codes(self) -> tuple[str, ...]:
        return tuple(str(_warning(warning).code) for warning in self.warnings)
