"""Write settings.md, the reference of all settings, from the settings classes: ``python docs/operations/make_settings.py``."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from astro_shared.jobs.service import JobServiceSettings
from astro_shared.settings import ServiceSettings
from astrometry_service.config import AstrometrySettings
from auth_service.config import AuthSettings
from catalogs_service.config import CatalogsSettings
from gateway_service.config import GatewaySettings
from photometry_service.config import PhotometrySettings

PLACE = Path(__file__).with_name("settings.md")
SERVICES: dict[str, type[ServiceSettings]] = {
    "auth": AuthSettings,
    "gateway": GatewaySettings,
    "photometry": PhotometrySettings,
    "astrometry": AstrometrySettings,
    "catalogs": CatalogsSettings,
}
HEAD = """<!-- Made by docs/operations/make_settings.py; change the code, then run `make docs-tables`. -->
# Service settings

Settings of a service are environment variables, read once when the process starts. If one is missing or invalid, the process
exits with status 78 and one line that names the variable, never its value. Lists are JSON. `alidade up` sets what is needed on
a single machine and passes other variables with these prefixes on to the services. In the Helm chart they are given without the
prefix in `services.<name>.settings`. How a frame is reduced is set [per reduction](../processing-settings.md).

Besides these, an image reads `ALIDADE_HOST` (0.0.0.0) and `ALIDADE_PORT` (8000), and `alidade` reads `ALIDADE_DATA`, the
data folder of the embedded platform.
"""


@dataclass(frozen=True)
class Setting:
    """One variable without its prefix."""

    name: str
    default: str
    text: str


def settings_of(model: type[BaseModel], prefix: str = "") -> Iterator[Setting]:
    """The settings of a class, nested ones with ``__`` in their names."""
    for name, field in model.model_fields.items():
        place = f"{prefix}{name.upper()}"
        nested = _nested(field.annotation)
        if nested is not None and not _is_map(field.annotation):
            yield from settings_of(nested, f"{place}__")
        elif nested is not None:
            yield from settings_of(nested, f"{place}__<NAME>__")
        else:
            yield Setting(place, _default(field), _text(field))


def page() -> str:
    """The whole page."""
    everywhere = list(settings_of(ServiceSettings))
    with_jobs = [setting for setting in settings_of(JobServiceSettings) if setting not in everywhere]
    parts = [
        HEAD,
        "## Every service",
        "With the service's name as prefix: `AUTH_`, `GATEWAY_`, ...",
        _table(everywhere),
    ]
    parts += [
        "## All but auth",
        "With the prefix `GATEWAY_`, `PHOTOMETRY_`, `ASTROMETRY_` or `CATALOGS_`.",
        _table(with_jobs),
    ]
    for service, model in SERVICES.items():
        own = [setting for setting in settings_of(model) if setting not in everywhere and setting not in with_jobs]
        parts.append(f"## {service.capitalize()}")
        parts.append(_table(own, f"{service.upper()}_") if own else "None beyond those above.")
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _table(settings: list[Setting], prefix: str = "") -> str:
    rows = [f"| `{prefix}{setting.name}` | {setting.default} | {setting.text} |" for setting in settings]
    return "\n".join(["| variable | default | meaning |", "|---|---|---|", *rows])


def _nested(annotation: Any) -> type[BaseModel] | None:
    found = [
        part
        for part in (annotation, *typing.get_args(annotation))
        if isinstance(part, type) and issubclass(part, BaseModel)
    ]
    return found[0] if found else None


def _is_map(annotation: Any) -> bool:
    return typing.get_origin(annotation) is dict


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is PydanticUndefined:
        return "**must be set**"
    if value is None or (isinstance(value, (str, tuple, list, dict)) and not value):
        return ""
    if isinstance(value, tuple):
        value = [str(item) if isinstance(item, IPv4Network | IPv6Network) else item for item in value]
    return f"`{json.dumps(value) if isinstance(value, bool | list) else value}`"


def _text(field: FieldInfo) -> str:
    text = ". ".join(part for part in (field.title, field.description) if part)
    choices = [str(choice) for part in _parts(field.annotation) for choice in typing.get_args(part)]
    if choices:
        text += f" ({', '.join(choices)})"
    return f"{text} (secret)".strip() if SecretStr in _members(field.annotation) else text


def _parts(annotation: Any) -> list[Any]:
    return [part for part in _members(annotation) if typing.get_origin(part) is typing.Literal]


def _members(annotation: Any) -> tuple[Any, ...]:
    union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    return typing.get_args(annotation) if union else (annotation,)


if __name__ == "__main__":
    PLACE.write_text(page(), encoding="utf-8")
