"""The page docs/getting-started.md, block by block, as a person would run it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from astro_shared.testing.components import needs
from astro_shared.testing.embedded import EmbeddedPlatform, environment, free_port, public_folder

pytestmark = [
    pytest.mark.xdist_group("end_to_end"),
    pytest.mark.timeout(300),
    needs(shutil.which("jq") is not None and shutil.which("curl") is not None, "curl and jq are not installed"),
]

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHELL = ["bash", "-euo", "pipefail", "-c"]


def run(language: str, code: str, folder: Path, variables: dict[str, str]) -> str:
    command = [sys.executable, "-c"] if language == "python" else SHELL
    done = subprocess.run(
        [*command, code], cwd=folder, env=variables, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_every_block_of_the_page_runs(tmp_path: Path) -> None:
    blocks = BLOCK.findall((ROOT / "docs" / "getting-started.md").read_text(encoding="utf-8"))
    access = next(code for language, code in blocks if language == "sh" and "ACCESS=" in code)
    with public_folder() as folder:
        platform = EmbeddedPlatform(folder / "data", free_port())
        platform.folder.mkdir()
        platform.start()
        try:
            variables = environment(platform.folder) | {
                "PATH": f"{Path(sys.executable).parent}:{environment(platform.folder)['PATH']}",
                "XDG_CONFIG_HOME": str(tmp_path / "config"),
                "ALIDADE_URL": platform.url,
                "ALIDADE_TOKEN_FILE": str(platform.folder / "local-user.token"),
            }
            said = [
                # a block of the shell goes on where the one with the token ended
                run(language, f"{access.split('api()')[0]}\n{code}" if "$ACCESS" in code else code, tmp_path, variables)
                for language, code in blocks
            ]
        finally:
            platform.stop()
    printed = "\n".join(said)
    assert printed.count("calibrated") >= 2 and "uncalibrated" not in printed
    assert "COMPLETED" in printed
    assert (tmp_path / "catalog.csv").stat().st_size > 10_000
    assert "corner" in (tmp_path / "forced.csv").read_text()
