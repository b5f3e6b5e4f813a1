"""The processing settings as the check of what users save."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from astro_shared.web.problems import FieldProblem
from auth_service.errors import BadSettingsError


class SettingsSchema:
    """`auth_service.ports.SettingsCheck` on a Pydantic model whose every field has a default."""

    def __init__(self, model: type[BaseModel]) -> None:
        self._model = model

    def check(self, sections: Mapping[str, Mapping[str, Any]]) -> None:
        """Raise BadSettingsError with one entry per value that does not fit."""
        try:
            self._model.model_validate(sections)
        except ValidationError as error:
            problems = [
                FieldProblem(
                    pointer="/body/sections/" + "/".join(str(part) for part in item["loc"]),
                    code=item["type"],
                    message=item["msg"].removeprefix("Value error, "),
                )
                for item in error.errors(include_url=False, include_input=False, include_context=False)
            ]
            first = problems[0]
            message = f"{first.pointer.removeprefix('/body/sections/').replace('/', '.')}: {first.message}"
            raise BadSettingsError(message, errors=problems) from None
