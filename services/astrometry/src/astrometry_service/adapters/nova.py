"""nova.astrometry.net over HTTP: star lists leave the house, so it is used only where it was switched on.

The service's own rules: every request is one form field ``request-json``; ``publicly_visible`` is ``n``; star lists go
as ``x`` and ``y`` inside that field, no pixels. A submission becomes a job, which is asked about until the limit.

References
----------
nova.astrometry.net/api_help
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from typing import Any

import httpx
from astropy.io import fits

from astro_shared.fits.errors import READER_ERRORS
from astrometry_service.adapters.engine_answers import plane_from_cards, scale_limits_arcsec
from astrometry_service.domain.solving import EngineAnswer, EngineStatus, SolveHints
from astrometry_service.domain.star_lists import StarList

__all__ = ["NOVA_URL", "NovaEngine"]

NOVA_URL = "https://nova.astrometry.net"
MAX_STARS = 500
MIN_STARS = 4
POLL_S = 5.0
MAX_ANSWER_BYTES = 2_000_000


class NovaEngine:
    """The public solving service.

    Parameters
    ----------
    client : with time limits of its own; the caller closes it
    api_key : of the user's account there; None where there is none
    enabled : switched on by the user and the operator
    url : of the site; another installation speaks the same language
    clock, sleep : replaced in tests
    """

    name = "nova"
    remote = True

    def __init__(
        self,
        client: httpx.Client,
        api_key: str | None,
        *,
        enabled: bool = False,
        url: str = NOVA_URL,
        poll_s: float = POLL_S,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client, self._key, self._enabled = client, api_key, enabled
        self._url, self._poll_s, self._clock, self._sleep = url.rstrip("/"), poll_s, clock, sleep

    def status(self) -> EngineStatus:
        """Usable when it is switched on and there is a key; nothing is asked over the network."""
        if not self._enabled:
            how = "set solve.remote = true; your star list, not your image, is then sent there"
            return EngineStatus(self.name, False, "switched off", how)
        if not self._key:
            how = "get an API key from your profile page there and store it: alidade keys set nova_api_key"
            return EngineStatus(self.name, False, "no API key", how)
        return EngineStatus(self.name, True, self._url)

    def solve(self, stars: StarList, shape: tuple[int, int], hints: SolveHints, *, limit_s: float) -> EngineAnswer:
        """Send the brightest stars and wait for the answer."""
        status = self.status()
        if not status.usable:
            return EngineAnswer(self.name, "unavailable", 0.0, detail=status.reason)
        if len(stars) < MIN_STARS:
            return EngineAnswer(self.name, "no_solution", 0.0, detail=f"{len(stars)} stars, need {MIN_STARS}")
        begun = self._clock()
        try:
            outcome, plane, detail = self._conversation(stars, shape, hints, begun + limit_s)
        except httpx.TimeoutException:
            outcome, plane, detail = "time_limit", None, "the service did not answer in time"
        except httpx.HTTPError as error:
            outcome, plane, detail = "unavailable", None, f"the service could not be reached: {error}"
        except _NovaError as error:
            outcome, plane, detail = "error", None, str(error)
        return EngineAnswer(self.name, outcome, self._clock() - begun, plane, None, detail)

    def _conversation(self, stars: StarList, shape: tuple[int, int], hints: SolveHints, deadline: float) -> Any:
        """Log in, send, wait, fetch: (outcome, plane, detail)."""
        session = self._post("login", {"apikey": self._key}).get("session")
        if not session:
            raise _NovaError("the service gave no session")
        upload = {"session": session, **submission(stars.brightest(MAX_STARS), shape, hints)}
        number = self._post("upload", upload).get("subid")
        if not isinstance(number, int):
            raise _NovaError("the service gave no submission number")
        job = None
        while self._clock() < deadline:
            job = job or self._job_of(number)
            state = self._get(f"jobs/{job}").get("status") if job else "waiting"
            if job and state == "success":
                plane = plane_from_cards(self._wcs(job))
                return ("solved", plane, f"job {job}") if plane else ("error", None, f"job {job}: no usable WCS")
            if state == "failure":
                return "no_solution", None, f"job {job}: did not solve"
            self._sleep(min(self._poll_s, max(deadline - self._clock(), 0.0)))
        return "time_limit", None, f"submission {number} was still waiting"

    def _job_of(self, submission_number: int) -> int | None:
        jobs = self._get(f"submissions/{submission_number}").get("jobs") or []
        return next((job for job in jobs if isinstance(job, int)), None)

    def _post(self, service: str, arguments: dict[str, Any]) -> dict[str, Any]:
        response = self._client.post(f"{self._url}/api/{service}", data={"request-json": json.dumps(arguments)})
        return self._body(response)

    def _get(self, service: str) -> dict[str, Any]:
        return self._body(self._client.get(f"{self._url}/api/{service}"))

    def _body(self, response: httpx.Response) -> dict[str, Any]:
        response.raise_for_status()
        if len(response.content) > MAX_ANSWER_BYTES:
            raise _NovaError("the service sent too long an answer")
        try:
            body = response.json()
        except ValueError as error:
            raise _NovaError("the service sent no JSON") from error
        if not isinstance(body, dict):
            raise _NovaError("the service sent an unexpected answer")
        if body.get("status") == "error":
            raise _NovaError(f"the service said: {str(body.get('errormessage', 'error'))[:200]}")
        return body

    def _wcs(self, job: int) -> fits.Header:
        response = self._client.get(f"{self._url}/wcs_file/{job}")
        response.raise_for_status()
        if len(response.content) > MAX_ANSWER_BYTES:
            raise _NovaError("the service sent too long a WCS file")
        try:
            return fits.Header.fromstring(response.content.decode("ascii"))
        except READER_ERRORS as error:
            raise _NovaError("the service sent a WCS file that cannot be read") from error


class _NovaError(Exception):
    """The service answered, but not with what was asked for."""


def submission(stars: StarList, shape: tuple[int, int], hints: SolveHints) -> dict[str, Any]:
    """The fields of a submission, to go inside ``request-json``."""
    low, high = scale_limits_arcsec(hints, shape)
    fields: dict[str, Any] = {
        "publicly_visible": "n",
        "allow_modifications": "n",
        "allow_commercial_use": "n",
        "image_width": shape[1],
        "image_height": shape[0],
        "x": [round(float(x) + 1.0, 3) for x in stars.x],
        "y": [round(float(y) + 1.0, 3) for y in stars.y],
        "scale_units": "arcsecperpix",
        "scale_type": "ul",
        "scale_lower": low,
        "scale_upper": high,
        "tweak_order": 0,
        "crpix_center": True,
    }
    if hints.pointing is not None and all(math.isfinite(value) for value in hints.pointing):
        fields |= {"center_ra": hints.pointing[0], "center_dec": hints.pointing[1], "radius": hints.radius_deg}
    return fields
