"""The program around astrometry.net's C library: a request as JSON on standard input, an answer on standard output.

It runs as a process of its own, because C code can neither be stopped at a deadline nor survive its own crash inside
ours. Only the standard library and ``astrometry`` (GPL-3, an optional dependency) are imported.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ENOUGH_LOG_ODDS = 50.0
MARK = "ANSWER "


def main() -> int:
    """Solve the request and print one line that begins with ``ANSWER``."""
    import astrometry

    request = json.load(sys.stdin)

    def enough(log_odds: list[float]) -> astrometry.Action:
        # without this the library goes on through every index for minutes after it has the answer
        return astrometry.Action.STOP if log_odds[0] > ENOUGH_LOG_ODDS else astrometry.Action.CONTINUE

    size = request["scale_arcsec"]
    place = request["position"]
    with astrometry.Solver([Path(path) for path in request["indexes"]]) as solver:
        solution = solver.solve(
            stars=request["stars"],
            size_hint=astrometry.SizeHint(*size) if size else None,
            position_hint=astrometry.PositionHint(*place) if place else None,
            solution_parameters=astrometry.SolutionParameters(
                sip_order=0, tune_up_logodds_threshold=None, logodds_callback=enough
            ),
        )
    sys.stdout.write(f"{MARK}{json.dumps(_answer(solution))}\n")
    return 0


def _answer(solution: Any) -> dict[str, Any] | None:
    """The best match as plain numbers, or None."""
    if not solution.has_match():
        return None
    best = solution.best_match()
    cards = {key: value[0] for key, value in best.wcs_fields.items()}
    keys = ("CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2", "CD1_1", "CD1_2", "CD2_1", "CD2_2")
    return {"log_odds": best.logodds, "index": best.index_path.name, "cards": {key: cards[key] for key in keys}}


if __name__ == "__main__":
    sys.exit(main())
