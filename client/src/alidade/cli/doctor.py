"""``alidade doctor``: what this machine can do, and how to get what is missing. Needs no running platform."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import typer
from rich.markup import escape

from alidade.cli.console import out, plain_errors
from alidade.local.engines import local_engines
from alidade.local.index_folders import added_folders, sky_folder
from alidade.local.state import StateFolder, default_folder

PACKAGES = ("astro_shared", "photometry_service", "astrometry_service", "catalogs_service")
OLDEST, NEWEST = (3, 11), (3, 14)


def doctor() -> None:
    """Check Python, compiled kernels, data folder, engines, index files and LSDB; exit code 1 where work is impossible."""
    healthy = _python() & _kernels() & _data_folder()
    with plain_errors():
        root = default_folder()
        view = local_engines(sky_folder(root), added_folders(root))
    for engine in view.engines:
        _line(engine.usable, engine.name, engine.reason, engine.how_to_install, needed=False)
    folders = ", ".join(view.index_folders) or "no folder"
    how = "apt-get install astrometry-data-tycho2, or alidade indexes add FOLDER"
    _line(view.index_files > 0, "index files", f"{view.index_files} in {folders}", how, needed=False)
    for problem in view.index_problems:
        out.print(f"       {problem}")
    _surveys()
    if not healthy:
        raise typer.Exit(1)


def _python() -> bool:
    fits = OLDEST <= sys.version_info[:2] <= NEWEST
    return _line(fits, "Python", platform.python_version(), "use Python 3.11 to 3.14")


def _kernels() -> bool:
    """Every ``.pyx`` of the packages that are here has its compiled module beside it."""
    missing, found = [], 0
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        for root in (spec.submodule_search_locations or ()) if spec else ():
            for source in Path(root).rglob("*.pyx"):
                compiled = any(source.with_name(source.stem + suffix).exists() for suffix in EXTENSION_SUFFIXES)
                found += compiled
                if not compiled:
                    missing.append(source.name)
    words = f"not compiled: {', '.join(sorted(missing))}" if missing else f"{found} compiled"
    return _line(not missing, "kernels", words, "make kernels")


def _data_folder() -> bool:
    root = default_folder()
    nearest = next(folder for folder in (root, *root.parents) if folder.exists())
    running = StateFolder(root).read_running()
    words = f"{root}, " + (f"platform running at {running['url']}" if running else "no platform running")
    return _line(os.access(nearest, os.W_OK), "data folder", words, "choose another with ALIDADE_DATA")


def _surveys() -> bool:
    """Whether a worker of this machine can match survey against survey."""
    found = importlib.util.find_spec("lsdb") is not None
    words = f"lsdb {importlib.metadata.version('lsdb')}" if found else "the Python package lsdb is not installed"
    return _line(found, "surveys", words, "pip install 'catalogs-service[surveys]'", needed=False)


def _line(good: bool, name: str, words: str, how: str, *, needed: bool = True) -> bool:
    mark = "[green]ok[/green]  " if good else "[red]no[/red]  " if needed else "[yellow]none[/yellow]"
    out.print(f"{mark}   " + escape(f"{name}: {words}" + ("" if good or not how else f"; {how}")))
    return good
