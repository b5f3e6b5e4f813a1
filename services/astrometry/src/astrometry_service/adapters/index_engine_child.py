"""The program around astrometry.net's C library: a request as JSON on standard input, an answer on standard output.

It runs as a process of its own, because C code can neither be stopped at a deadline nor survive its own crash inside
ours. Only the standard library and ``astrometry`` (GPL-3, an optional dependency) are imported.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

ENOUGH_LOG_ODDS = 50.0
MARK = "ANSWER "
# Stars join the patterns in steps, and the clock is looked at in between: each star costs more than all before it.
FIRST_STEP, STEP = 6, 2


def main() -> int:
    """Solve the request and print one line that begins with ``ANSWER``."""
    import astrometry

    request = json.load(sys.stdin)
    begun = time.monotonic()

    def enough(log_odds: list[float]) -> astrometry.Action:
        # without this the library goes on through every index for minutes after it has the answer
        return astrometry.Action.STOP if log_odds[0] > ENOUGH_LOG_ODDS else astrometry.Action.CONTINUE

    size, place, stars = request["scale_arcsec"], request["position"], request["stars"]
    with astrometry.Solver([Path(path) for path in request["indexes"]]) as solver:
        for first in (0, *range(FIRST_STEP, len(stars), STEP)):
            depth = min(first + STEP if first else FIRST_STEP, len(stars))
            solution = solver.solve(
                stars=stars,
                size_hint=astrometry.SizeHint(*size) if size else None,
                position_hint=astrometry.PositionHint(*place) if place else None,
                solution_parameters=astrometry.SolutionParameters(
                    sip_order=0,
                    tune_up_logodds_threshold=None,
                    logodds_callback=enough,
                    slices_generator=lambda count, first=first, depth=depth: [(first, depth)],
                ),
            )
            if solution.has_match() or time.monotonic() - begun > request["limit_s"]:
                break
    answer = _match(solution) | {"depth": depth, "all": depth == len(stars)}
    sys.stdout.write(f"{MARK}{json.dumps(answer)}\n")
    return 0


def _match(solution: Any) -> dict[str, Any]:
    """The best match as plain numbers; empty where there is none."""
    if not solution.has_match():
        return {}
    best = solution.best_match()
    cards = {key: value[0] for key, value in best.wcs_fields.items()}
    keys = ("CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2", "CD1_1", "CD1_2", "CD2_1", "CD2_2")
    return {"log_odds": best.logodds, "index": best.index_path.name, "cards": {key: cards[key] for key in keys}}


if __name__ == "__main__":
    sys.exit(main())
