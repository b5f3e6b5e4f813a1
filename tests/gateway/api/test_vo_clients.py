"""Cone search by clients that no one here wrote: pyvo (deploy/testing/tools.sh) and STILTS (Debian ``stilts``)."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from astropy.table import Table

from astro_shared.testing.components import leave_out
from astro_shared.testing.tokens import TokenMint

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[3]
PYTHON = Path(os.environ.get("ALIDADE_TOOLS", ROOT / ".tools")) / "catalogs" / "bin" / "python"


@pytest.fixture
async def served(apps: tuple[Any, Any], lists: Any) -> AsyncIterator[str]:
    """Address of the gateway on a port, open for cone searches without a token."""
    factory = apps[0].state.factory
    factory.settings = factory.settings.model_copy(update={"open_cone_search": True})
    server = uvicorn.Server(uvicorn.Config(apps[0], host="127.0.0.1", port=0, log_level="error", lifespan="off"))
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.02)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/api/v1"
    server.should_exit = True
    await task


async def run(*command: str | Path) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *map(str, command), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(120):
        out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def pyvo(url: str, *more: str) -> Any:
    if not PYTHON.exists():
        leave_out("pyvo is not installed: deploy/testing/tools.sh")
    code, out, err = await run(PYTHON, ROOT / "tests" / "support" / "search_with_pyvo.py", url, "10", "20", *more)
    assert code == 0, err[-2000:]
    return json.loads(out)


@pytest.fixture
def stilts() -> str:
    program = shutil.which("stilts")
    if program is None:
        leave_out("stilts is not installed")
    return str(program)


async def test_pyvo_finds_the_stars_with_their_positions(served: str) -> None:
    found = await pyvo(f"{served}/scs/everyones?", "1")
    assert found["ids"] == ["7", "8"]
    assert sorted(found["positions"]) == [[10.0, 20.0], [10.2, 20.1]]
    assert "ruwe" in found["columns"]
    assert (await pyvo(f"{served}/scs/everyones?", "0.05"))["ids"] == ["7"]


async def test_pyvo_reads_errors_as_errors(served: str) -> None:
    assert "no reference list nobodys" in (await pyvo(f"{served}/scs/nobodys?", "1"))["error"]
    assert "SR between 0 and 90" in (await pyvo(f"{served}/scs/everyones?", "180"))["error"]


async def test_pyvo_with_a_token_finds_ones_own_list(served: str, mint: TokenMint) -> None:
    token = mint.user("ann")["Authorization"].removeprefix("Bearer ")
    assert (await pyvo(f"{served}/scs/anns?", "1", token))["ids"] == ["7", "8"]
    assert "no reference list anns" in (await pyvo(f"{served}/scs/anns?", "1"))["error"]


async def test_stilts_matches_a_table_by_cone_searches(served: str, stilts: str, tmp_path: Path) -> None:
    given, out = tmp_path / "in.csv", tmp_path / "out.csv"
    given.write_text("name,ra,dec\nnear,10.0001,20\nfar,100,-20\n")
    command = [
        stilts, "coneskymatch", f"in={given}", "ifmt=csv", "ra=ra", "dec=dec", "sr=0.01", "servicetype=cone",
        f"serviceurl={served}/scs/everyones?", "verb=3", "erract=abort", f"out={out}", "ofmt=csv",
    ]  # fmt: skip
    code, _, err = await run(*command)
    assert code == 0, err
    rows = Table.read(out, format="ascii.csv")
    assert rows["name"].tolist() == ["near"]
    assert rows["source_id"].tolist() == [7]


async def test_stilts_finds_the_table_and_the_error_valid(served: str, stilts: str) -> None:
    for name, radius in (("everyones", 1), ("everyones", 0), ("nobodys", 1)):
        address = f"{served}/scs/{name}?RA=10&DEC=20&SR={radius}&VERB=3"
        code, out, err = await run(stilts, "votlint", f"votable={address}")
        assert code == 0
        assert "ERROR" not in out + err, out + err


async def test_stilts_stops_at_an_error(served: str, stilts: str, tmp_path: Path) -> None:
    given = tmp_path / "in.csv"
    given.write_text("ra,dec\n10,20\n")
    command = [stilts, "coneskymatch", f"in={given}", "ifmt=csv", "ra=ra", "dec=dec", "sr=1", "servicetype=cone",
               f"serviceurl={served}/scs/nobodys?", "erract=abort", "out=-"]  # fmt: skip
    code, _, _ = await run(*command)
    assert code != 0
