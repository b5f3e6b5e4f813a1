"""Work besides reductions: which services do it, and how it is named outside."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

WORK_KINDS = {
    "photometry": frozenset({"forced", "master", "extinction"}),
    "astrometry": frozenset({"solution"}),
    "catalogs": frozenset({"crossmatch", "match_surveys", "import_reference"}),
}
"""The kinds of jobs that a person may start and see, by service; stages are seen through their reduction."""


@dataclass(frozen=True)
class WorkId:
    """``<service>-<job>``: where a piece of work is, so that one address serves the work of all services."""

    service: str
    job: str

    def __str__(self) -> str:
        return f"{self.service}-{self.job}"

    @classmethod
    def parse(cls, text: str) -> WorkId | None:
        """None for what is no such name."""
        service, _, job = text.partition("-")
        try:
            return cls(service, str(UUID(job))) if service in WORK_KINDS else None
        except ValueError:
            return None
