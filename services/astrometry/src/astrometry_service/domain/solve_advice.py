"""What a person can do when a frame was not solved."""

from __future__ import annotations

from collections.abc import Sequence

from astrometry_service.domain.header_evidence import HeaderEvidence
from astrometry_service.domain.solving import EngineStatus, SolveAttempt, SolveHints

__all__ = ["advice", "summary"]

FEW_STARS = 15


def summary(attempts: Sequence[SolveAttempt], stars: int) -> str:
    """One sentence: how many stars, what ran for how long, how near it came."""
    ran = [attempt for attempt in attempts if attempt.outcome != "unavailable"]
    if not ran:
        return f"{stars} stars were detected and nothing could be tried"
    engines = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in _seconds_by_engine(ran).items())
    best = max((attempt for attempt in ran if attempt.log_odds is not None), key=_log_odds, default=None)
    near = f"; the nearest, by {best.engine}, was refused: {best.detail}" if best is not None else ""
    return f"no verified solution with {stars} stars ({engines}){near}"


def _seconds_by_engine(attempts: Sequence[SolveAttempt]) -> dict[str, float]:
    """Seconds by engine, in the order in which they began; variants of one engine together."""
    seconds: dict[str, float] = {}
    for attempt in attempts:
        name = attempt.engine.partition(" (")[0].partition(",")[0]
        seconds[name] = seconds.get(name, 0.0) + attempt.seconds
    return seconds


def _log_odds(attempt: SolveAttempt) -> float:
    return attempt.log_odds if attempt.log_odds is not None else float("-inf")


def advice(
    stars: int, hints: Sequence[SolveHints], engines: Sequence[EngineStatus], *, reference_reached: bool, blind: bool,
    evidence: HeaderEvidence | None = None,
) -> tuple[str, ...]:  # fmt: skip
    """What to try next, most promising first; ``evidence``: what the reference stars say of the header's WCS."""
    out = []
    unjudged = evidence is not None and not evidence.against
    if evidence is not None and unjudged:
        out.append(
            f"{evidence.words}: give a reference list that is deep enough for this field to confirm and to calibrate it"
        )
    if stars < FEW_STARS:
        out.append(
            f"only {stars} stars were detected: check exposure, focus and tracking, or lower detection.detect_snr"
        )
    if not any(hint.pointing for hint in hints):
        out.append("give the rough centre of the frame: --hint RA,DEC in degrees")
    if not any(hint.scale_range_arcsec for hint in hints):
        out.append("give the pixel scale: --scale LOW,HIGH in arcsec per pixel")
    if not reference_reached:
        out.append("no reference catalogue could be reached: import one with alidade reference import FILE --name NAME")
    if any(hint.pointing for hint in hints) and not unjudged:
        out.append("check that the pointing is of this frame (degrees, hours and the two exchanged were tried)")
    if blind:
        out += [f"{engine.name} is not usable ({engine.reason}): {engine.how_to_install}" for engine in engines
                if not engine.usable and engine.how_to_install]  # fmt: skip
    else:
        out.append("blind solving is switched off: set solve.blind = true")
    return tuple(out)
