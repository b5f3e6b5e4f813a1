"""Write the reference pages that come from code: jobs, problem codes, warnings, processing settings and the command line.

``python docs/make_reference.py``
"""

from __future__ import annotations

import ast
import importlib
import json
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import typer
from pydantic import BaseModel

from alidade.cli.main import app
from alidade.problem_codes import ClientCode
from astro_shared.contracts.settings import ProcessingSettings
from astro_shared.errors import AlidadeError
from astro_shared.frame_warnings import WarningCode
from astro_shared.jobs.job_types import JobType
from astro_shared.web.problems import HTTP_CODES
from astrometry_service.job_types import job_types as astrometry_jobs
from catalogs_service.job_types import job_types as catalogs_jobs
from gateway_service.job_types import JOB_TYPES as GATEWAY_JOBS
from photometry_service.job_types import JOB_TYPES as PHOTOMETRY_JOBS

DOCS = Path(__file__).parent
ROOT = DOCS.parent
MADE = "<!-- Made by docs/make_reference.py; change the code, then run `make docs-tables`. -->\n"
BEGIN, END = "<!-- jobs: begin -->", "<!-- jobs: end -->"

JOBS: dict[str, tuple[JobType, ...]] = {
    "photometry": PHOTOMETRY_JOBS,
    "astrometry": astrometry_jobs(),
    "catalogs": catalogs_jobs(),
    "gateway": GATEWAY_JOBS,
}
PACKAGES = {
    "Everywhere": "shared/src/astro_shared",
    "Accounts": "services/auth/src/auth_service",
    "Gateway": "services/gateway/src/gateway_service",
    "Photometry": "services/photometry/src/photometry_service",
    "Astrometry": "services/astrometry/src/astrometry_service",
    "Catalogues": "services/catalogs/src/catalogs_service",
}

BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
# carriers of another error's code, and a class that only has children
INTERNAL = {"relayed_error", "run_failed", "task_crashed", "task_failed"}

PROBLEMS_HEAD = """# Problem codes

A refused request is answered with a problem document (RFC 9457, `application/problem+json`). A job or stage that fails has
a code and a sentence too. `code` does not change between releases: test for it, not for the text of `detail`. *Retry* says
whether the same request may succeed later. Codes without an HTTP status occur in jobs and on the command line only.

Each entry of `errors` in a problem document names one field of the request. Its `code` is the error type of Pydantic, such as
`missing` or `greater_than`.
"""
WARNINGS_HEAD = """# Warnings

A result that may be worse than it looks comes with warnings: sentences with the numbers of the frame in them. `summary.json`
lists them as `warnings`, and their codes, in the same order, as `warning_codes`. Codes do not change between releases: test for
them, not for the text of a sentence. Masters, forced photometry and solutions have both lists in their results too.

In the order of the processing:
"""
SETTINGS_HEAD = """# Processing settings

How a frame is reduced. Give any of them as `--set section.key=value` on the command line, or as
`{"settings": {"section": {"key": value}}}` in a request. A request overrides the preset, the preset overrides what the user has
saved, and that overrides the defaults. Unknown keys and values out of range are refused. `GET /api/v1/settings` returns the
same list as JSON Schema. The settings of the services themselves are on [another page](operations/settings.md).
"""
COMMANDS_HEAD = """# Command line

The text of `alidade COMMAND --help`, all commands on one page.
"""


def jobs_table() -> str:
    """The table of jobs."""
    rows = [
        f"| `{job.name}` | {service} | `{job.request_model.__name__}` | {job.wall_limit_s:g} s | {job.memory_limit_mb} MB |"
        for service, jobs in JOBS.items()
        for job in jobs
    ]
    head = "| job | service | request | time limit | memory limit |"
    return "\n".join([BEGIN, head, "|--|--|--|--|--|", *rows, END])


def with_jobs(page: str) -> str:
    """docs/jobs.md with the table of jobs between its marks."""
    head, rest = page.split(BEGIN, 1)
    return head + jobs_table() + rest.split(END, 1)[1]


def problems_page() -> str:
    """Text of docs/problems.md."""
    known = _error_classes()
    parts = [MADE + PROBLEMS_HEAD]
    for title, folder in PACKAGES.items():
        own = [error for error in known if error.__module__.split(".")[0] == Path(folder).name]
        named = [error for error in own if "code" in error.__dict__ and error.code not in INTERNAL]
        named.sort(key=lambda error: (_status(error) or "9", error.code))
        rows = [
            f"| `{error.code}` | {_status(error)} | {'yes' if error.retryable else 'no'} | {_first_line(error)} |"
            for error in named
        ]
        parts.append("\n".join([f"## {title}", "", "| code | HTTP | retry | meaning |", "|--|--|--|--|", *rows, ""]))
    return "\n".join([*parts, _http_problems({error.code for error in known}), _client_problems()])


def _http_problems(known: set[str]) -> str:
    rows = [
        f"| `{code}` | {status} | {HTTPStatus(status).description} |"
        for status, code in HTTP_CODES.items()
        if code not in known
    ]
    words = "Refusals of the web framework, before a route of Alidade is reached."
    return "\n".join(["## HTTP", "", words, "", "| code | HTTP | meaning |", "|--|--|--|", *rows, ""])


def _client_problems() -> str:
    rows = [f"| `{code}` | {code.meaning} |" for code in ClientCode]
    words = "`AlidadeClientError.code` is the code of the server, or one of these where the client itself has found the fault."
    return "\n".join(["## Client and command line", "", words, "", "| code | meaning |", "|--|--|", *rows, ""])


def warnings_page() -> str:
    """Text of docs/warnings.md."""
    rows = [f"| `{code}` | {_cell(code.meaning)} | {_cell(code.advice)} |" for code in WarningCode]
    return "\n".join([MADE + WARNINGS_HEAD, "| code | when | what to do |", "|--|--|--|", *rows, ""])


def settings_page() -> str:
    """Text of docs/processing-settings.md."""
    schema = ProcessingSettings.model_json_schema()
    parts = [MADE + SETTINGS_HEAD]
    for section, field in ProcessingSettings.model_fields.items():
        model = field.annotation
        assert isinstance(model, type) and issubclass(model, BaseModel)  # noqa: S101 - every section is a model
        keys = schema["$defs"][model.__name__]["properties"]
        rows = [
            f"| `{key}` | {_default(value.get('default'))} | {_values(value)} | {_cell(value.get('description', ''))} |"
            for key, value in keys.items()
        ]
        head = ["| key | default | values | meaning |", "|--|--|--|--|"]
        parts.append("\n".join([f"## {section}", "", _first_line(model), "", *head, *rows, ""]))
    return "\n".join(parts)


def commands_page() -> str:
    """Text of docs/command-line.md."""
    sections = [_command(path, command) for path, command in _commands("alidade", typer.main.get_command(app))]
    return "\n".join([MADE + COMMANDS_HEAD, *sections])


def pages() -> dict[Path, str]:
    """Every page of this script and the text that it should have."""
    jobs = DOCS / "jobs.md"
    return {
        jobs: with_jobs(jobs.read_text(encoding="utf-8")),
        DOCS / "problems.md": problems_page(),
        DOCS / "warnings.md": warnings_page(),
        DOCS / "processing-settings.md": settings_page(),
        DOCS / "command-line.md": commands_page(),
    }


def _error_classes() -> list[type[AlidadeError]]:
    for folder in PACKAGES.values():
        for path in sorted((ROOT / folder).rglob("*.py")):
            if "testing" not in path.parts and _names_a_code(path):
                importlib.import_module(".".join(path.relative_to((ROOT / folder).parent).with_suffix("").parts))
    return [error for error in _descendants(AlidadeError) if ".testing." not in error.__module__]


def _names_a_code(path: Path) -> bool:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    targets = [t for node in classes for item in node.body if isinstance(item, ast.Assign) for t in item.targets]
    return any(isinstance(target, ast.Name) and target.id == "code" for target in targets)


def _descendants(error: type[AlidadeError]) -> list[type[AlidadeError]]:
    below = {found for child in error.__subclasses__() for found in (child, *_descendants(child))}
    return sorted(below, key=lambda found: (found.__module__, found.__name__))


def _status(error: type[AlidadeError]) -> str:
    return "" if error.status == AlidadeError.status and error.code != "internal_error" else str(error.status)


def _first_line(documented: type) -> str:
    return " ".join((documented.__doc__ or "").strip().split("\n\n")[0].split())


def _default(value: Any) -> str:
    return "" if value is None else f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _values(schema: dict[str, Any]) -> str:
    options = schema.get("anyOf", [schema])
    return " or ".join(_one_kind(option) for option in options)


def _one_kind(schema: dict[str, Any]) -> str:
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        items = schema.get("prefixItems") or [schema.get("items", {})]
        inner = ", ".join(dict.fromkeys(_one_kind(item) for item in items))
        return f"{len(items)} x {inner}" if "prefixItems" in schema else f"list of {inner}"
    bounds = [f"{sign} {schema[key]:g}" for key, sign in BOUNDS.items() if key in schema]
    return " ".join([str(schema.get("type", "")), ", ".join(bounds)]).strip()


def _commands(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    if hasattr(command, "commands"):
        for name, child in command.commands.items():
            yield from _commands(f"{path} {name}", child)
        return
    yield path, command


def _command(path: str, command: Any) -> str:
    shown = [p for p in command.params if p.name != "help"]
    rows = [f"| {_parameter(parameter)} | {_cell(getattr(parameter, 'help', None) or '')} |" for parameter in shown]
    text = "\n\n".join(" ".join(part.split()) for part in (command.help or "").split("\n\n"))
    table = ["", "| argument or option | meaning |", "|--|--|", *rows] if rows else []
    return "\n".join([f"## {path}", "", text, *table, ""])


def _parameter(parameter: Any) -> str:
    value = parameter.metavar or (parameter.name or "").upper()
    if not parameter.opts[0].startswith("-"):
        return f"`{_cell(value)}`"
    flag = bool(getattr(parameter, "is_flag", False))
    text = f"`{', '.join(parameter.opts)}{'' if flag else ' ' + _cell(value)}`"
    return f"{text} (required)" if parameter.required else text


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def main() -> None:
    """Write all of them."""
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
