"""``alidade process``: frames in, a folder per frame out."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from alidade.cli.console import err, out, plain_errors, say
from alidade.client import AlidadeClient, AlidadeClientError
from alidade.frames import Frame, find_frames
from alidade.processing import FrameOutcome, process_frame, use_masters, use_reference
from alidade.session import client_session
from astro_shared.contracts.gateway import ReductionView, StageState

AT_ONCE = 3
ADVICE_SHOWN = 3
MARKS = {
    "calibrated": "[green]calibrated[/green]",
    "uncalibrated": "[yellow]uncalibrated[/yellow]",
    "failed": "[red]failed[/red]",
}


def process(
    frames: Annotated[list[str], typer.Argument(metavar="FRAME...", help="FITS files, folders, or quoted patterns.")],
    to: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for the results.")],
    reference: Annotated[str | None, typer.Option(metavar="NAME|FILE", help="Reference stars instead of Gaia.")] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Any setting.")
    ] = None,
    preset: Annotated[str | None, typer.Option(help="fast, or classic.")] = None,
    hint: Annotated[
        str | None, typer.Option(metavar="RA,DEC[,RADIUS]", help="Where the frame points: degrees, ICRS.")
    ] = None,
    scale: Annotated[str | None, typer.Option(metavar="LOW,HIGH", help="Arcseconds per pixel.")] = None,
    bias: Annotated[str | None, typer.Option(metavar="FILE|ID", help="Master bias, ADU.")] = None,
    dark: Annotated[str | None, typer.Option(metavar="FILE|ID", help="Master dark, ADU.")] = None,
    flat: Annotated[str | None, typer.Option(metavar="FILE|ID", help="Master flat.")] = None,
    server: Annotated[
        str | None, typer.Option(metavar="URL", help="A server; default: the login, or this machine.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document per frame on standard output.")] = False,
) -> None:
    """Reduce frames. Exit code 0: all calibrated or uncalibrated, 2: some failed, 1: the command itself failed."""
    with plain_errors():
        settings = settings_from_options(overrides or [], hint, scale)
        found = find_frames(frames)
        check_writable(to)
        with client_session(server, say=say) as client:
            if reference is not None:
                settings.setdefault("reference", {})["name"] = use_reference(client, reference, say=say)
            masters = use_masters(client, {"bias": bias, "dark": dark, "flat": flat})
            outcomes = _process_all(client, found, to, settings, preset, masters)
    if as_json:
        for outcome in outcomes:
            out.print(json.dumps({**outcome.summary, "folder": str(outcome.folder)}, ensure_ascii=False), markup=False)
    else:
        for outcome in outcomes:
            out.print(summary_line(outcome))
            for advice in advice_lines(outcome):
                out.print(advice)
    if any(outcome.status == "failed" for outcome in outcomes):
        raise typer.Exit(2)


def settings_from_options(overrides: list[str], hint: str | None, scale: str | None) -> dict[str, Any]:
    """Partial settings of ``--set``, ``--hint`` and ``--scale``; raises AlidadeClientError with the form that is wanted."""
    settings: dict[str, Any] = {}
    for text in overrides:
        name, equals, value = text.partition("=")
        section, dot, key = name.strip().partition(".")
        if not (equals and dot and section and key):
            raise AlidadeClientError(f"--set {text}: write it as SECTION.KEY=VALUE, e.g. detection.detect_snr=5.")
        settings.setdefault(section, {})[key] = _value(value.strip())
    if hint is not None:
        numbers = _numbers(hint, "--hint", "RA,DEC or RA,DEC,RADIUS in degrees", (2, 3))
        settings.setdefault("solve", {}).update(zip(("ra_deg", "dec_deg", "radius_deg"), numbers, strict=False))
    if scale is not None:
        low, high = _numbers(scale, "--scale", "LOW,HIGH in arcseconds per pixel", (2,))
        settings.setdefault("solve", {}).update(scale_low_arcsec=low, scale_high_arcsec=high)
    return settings


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _numbers(text: str, option: str, form: str, counts: tuple[int, ...]) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in counts:
        raise AlidadeClientError(f"{option} {text}: write it as {form}.")
    return numbers


def check_writable(folder: Path) -> None:
    """Make the output folder and try it; raises AlidadeClientError where it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".alidade-write-test"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise AlidadeClientError(f"Cannot write to the output folder {folder}: {error.strerror}.") from None


def _process_all(
    client: AlidadeClient,
    frames: list[Frame],
    to: Path,
    settings: dict[str, Any],
    preset: str | None,
    masters: dict[str, str],
) -> list[FrameOutcome]:
    columns = (TextColumn("{task.description}"), BarColumn(20), TextColumn("{task.fields[stage]}"), TimeElapsedColumn())
    outcomes: dict[Frame, FrameOutcome] = {}
    with Progress(*columns, console=err, transient=True) as progress, ThreadPoolExecutor(AT_ONCE) as pool:
        lines = {
            frame: progress.add_task(escape(frame.path.name), total=5.0, stage="waiting", start=False)
            for frame in frames
        }

        def watch(frame: Frame, view: ReductionView | None, word: str) -> None:
            show(progress, lines[frame], view, word)

        tasks = {
            pool.submit(
                process_frame, client, frame, to, settings=settings, preset=preset, watch=watch, masters=masters
            ): frame
            for frame in frames
        }
        try:
            for task in as_completed(tasks):
                outcome = task.result()
                outcomes[tasks[task]] = outcome
                progress.remove_task(lines[tasks[task]])
                if len(frames) > 1:
                    err.print(
                        f"{len(outcomes)}/{len(frames)} {escape(outcome.frame.path.name)} {MARKS[outcome.status]}"
                    )
        except (AlidadeClientError, KeyboardInterrupt):
            for task in tasks:
                task.cancel()
            raise
    return [outcomes[frame] for frame in frames]


def show(progress: Progress, line: TaskID, view: ReductionView | None, word: str) -> None:
    """Bring one line of the display up to date."""
    progress.start_task(line)
    if view is None or word:
        progress.update(line, stage=word)
        return
    done = sum(
        1.0 if s.state in (StageState.DONE, StageState.SKIPPED, StageState.FAILED) else s.fraction for s in view.stages
    )
    running = next((s for s in view.stages if s.state is StageState.RUNNING), None)
    stage = f"{running.name} {running.step}".strip() if running else "waiting"
    progress.update(line, completed=done, stage=stage)


def advice_lines(outcome: FrameOutcome) -> list[str]:
    """What to try with a frame that was not solved; all of it is in the report too."""
    advice = (outcome.summary.get("astrometry") or {}).get("advice") or ()
    return [f"    [dim]try:[/dim] {escape(str(line))}" for line in advice[:ADVICE_SHOWN]]


def summary_line(outcome: FrameOutcome) -> str:
    """One frame in one line."""
    s = outcome.summary
    parts = [f"{escape(str(s['frame']))}  {MARKS[outcome.status]}"]
    if s.get("sources") is not None:
        parts.append(f"{s['sources']} sources")
    if s.get("fwhm_psf_px"):
        parts.append(f"FWHM {s['fwhm_psf_px']:.2f} px")
    zero, sky = s.get("zero_point") or {}, s.get("astrometry") or {}
    if zero.get("value") is not None:
        parts.append(f"zero point {zero['band']} {zero['value']:.3f} ± {zero['error']:.3f}")
    if sky.get("rms_mas") is not None:
        parts.append(f"astrometry {sky['rms_mas']:.0f} mas ({sky['n_matched']} stars)")
    elif sky.get("header_kept"):
        parts.append(f"[yellow]astrometry of the header, {sky['state']}[/yellow]")
    elif sky.get("n_matched") == 0 and sky.get("ra_center_deg") is not None:
        parts.append(f"[yellow]astrometry {sky['state']}, no star in its fit[/yellow]")
    parts.append(f"{outcome.seconds:.1f} s")
    if s.get("reason"):
        parts.append(f"[dim]{escape(str(s['reason']))}[/dim]")
    return "  ".join(parts)
