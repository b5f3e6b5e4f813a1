"""``alidade upstreams``: how the catalogues of others do."""

from __future__ import annotations

from typing import Any

from rich.table import Column, Table

from alidade.cli.console import out, plain_errors, say
from alidade.cli.jobs import ServerOption
from alidade.session import client_session


def upstreams(server: ServerOption = None) -> None:
    """State of every remote catalogue (administrators)."""
    with plain_errors(), client_session(server, say=say) as client:
        items = client.get("/api/v1/admin/upstreams")["items"]
    table = Table(
        Column("catalogue", no_wrap=True), "breaker", "last answer", "last failure", "asked again", "limit", "cache hits",
        box=None,
    )  # fmt: skip
    for item in items:
        table.add_row(
            item["upstream"],
            item["breaker"],
            _time(item["last_success_at"]),
            " ".join(filter(None, (_time(item["last_failure_at"]), item["last_cause"]))),
            _time(item["open_until"]) if item["breaker"] != "closed" else "",
            f"{item['requests_per_s']:g}/s x {item['concurrency']}",
            _share(item["cache_hits"], item["cache_misses"]),
        )
    out.print(table)


def _time(text: str | None) -> str:
    return text[:19].replace("T", " ") if text else ""


def _share(hits: int, misses: int) -> Any:
    return f"{hits} of {hits + misses}" if hits + misses else ""
