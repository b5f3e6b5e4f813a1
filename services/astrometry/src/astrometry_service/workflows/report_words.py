"""The report of a solution in words, for people who read one page and no JSON."""

from __future__ import annotations

from astro_shared.contracts.astrometry import AstrometryReport

__all__ = ["report_in_words"]


def report_in_words(report: AstrometryReport) -> str:
    """Plain text: what was found and how sure, or what was tried and what to try."""
    lines = _solved(report) if report.solved else [f"No solution: {report.reason}."]
    if report.header_kept:
        lines.append("Positions are those of the header's WCS: unverified, without errors.")
    lines.append(f"WCS of the header: {report.header_wcs}" + _because(report.header_wcs_reason))
    if report.solved and report.reason:
        lines.append(f"It is called {report.state}, not more, because: {report.reason}.")
    if report.attempts:
        lines += ["", "What was tried:"]
        lines += [
            f"  {a.engine}: {a.outcome.replace('_', ' ')}, {a.seconds:.2f} s. {a.detail}" for a in report.attempts
        ]
    for title, entries in (("What to try:", report.advice), ("Worth knowing:", report.warnings)):
        if entries:
            lines += ["", title, *(f"  {entry}" for entry in entries)]
    return "\n".join(lines) + "\n"


def _because(reason: str | None) -> str:
    return f" ({reason})." if reason else "."


def _solved(r: AstrometryReport) -> list[str]:
    lines = [
        f"Solved by {r.engine}: {r.state}.",
        f"Centre {r.ra_center_deg:.6f} {r.dec_center_deg:+.6f} deg (ICRS), {r.width_deg:.4f} x {r.height_deg:.4f} deg, "
        f"{r.scale_arcsec_px:.4f} arcsec per pixel, up is {r.rotation_deg:.2f} deg east of north"
        f"{', mirrored' if (r.parity or 0) > 0 else ''}.",
        f"{_pairs(r)}; {r.n_sources} sources, {r.n_reference} reference stars of {r.reference_name or 'a list'}.",
    ]  # fmt: skip
    if r.rms_mas is not None:
        bright = f", {r.rms_bright_mas:.1f} mas for stars with S/N above 100" if r.rms_bright_mas is not None else ""
        lines.append(f"Residuals: {r.rms_mas:.1f} mas rms per axis{bright}.")
    if r.degree is not None and r.solution_error_mas is not None:
        corner = f", {r.solution_error_corner_mas:.2f} mas in the worst corner" if r.solution_error_corner_mas else ""
        lines.append(f"The map itself, of degree {r.degree}, is known to {r.solution_error_mas:.2f} mas{corner}.")
    lines += _error_model(r)
    if r.prior is not None and r.prior.used:
        lines.append(
            f"The distortion of {r.prior.frames} earlier frames of this camera and filter helped"
            f" (version {r.prior.version})."
        )
    if r.sip_max_deviation_px is not None:
        lines.append(f"The SIP header differs from this solution by at most {r.sip_max_deviation_px:.2g} pixels.")
    return lines


def _pairs(r: AstrometryReport) -> str:
    if r.n_used == 0:
        return "No pair carries a fit: the start stands as it was found"
    return f"{r.n_used} of {r.n_matched} pairs carry the fit"


def _error_model(r: AstrometryReport) -> list[str]:
    """alpha and sigma_sys with their errors or limits; nothing where there was no fit."""
    if r.sigma_sys_mas is None and r.sigma_sys_upper_mas is None:
        return []
    if r.alpha is None:
        centroids = "Centroid errors are not determined" + (
            f" (below {r.alpha_upper:.2g} of what is stated)" if r.alpha_upper is not None else ""
        )
    elif r.alpha_err is None:
        centroids = "Centroid errors are taken at their word"
    else:
        centroids = f"Centroid errors times {r.alpha:.3f}"
    limit = r.sigma_sys_upper_mas
    scatter = f"below {limit:.2f}" if limit is not None else f"{r.sigma_sys_mas:.2f}"
    return [f"{centroids}; systematic scatter {scatter} mas."]
