"""The Python client: HTTP calls with deadlines, retries where they are safe, and errors that say what to do."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx

from alidade.problem_codes import ClientCode
from astro_shared.contracts.gateway import ReductionPhase, ReductionView, UploadView
from astro_shared.contracts.jobs import FINAL_PHASES, JobPhase
from astro_shared.contracts.work import WorkView

View = TypeVar("View")

CHUNK_BYTES = 1 << 20
WORK = "/api/v1/work"
FINAL = frozenset({ReductionPhase.COMPLETED, ReductionPhase.ERROR, ReductionPhase.ABORTED})
TIMEOUT = httpx.Timeout(60.0, connect=5.0)
_TRIES = 4
PATIENCE_S = 120.0
_RENEW_BEFORE_S = 60.0


class AlidadeClientError(Exception):
    """A call failed; the message is one sentence for a person.

    Attributes
    ----------
    code : stable code of the server or of the client (`ClientCode`); docs/problems.md lists all
    status : HTTP status, None where there was no answer
    """

    def __init__(self, message: str, *, code: str = ClientCode.BAD_OPTION, status: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


class AlidadeClient:
    """
    Parameters
    ----------
    base_url : of the gateway, ``http://127.0.0.1:8000``
    personal_token : swapped for short-lived access tokens as needed
    access_token : used as it is, where there is no personal token
    """

    def __init__(
        self,
        base_url: str,
        *,
        personal_token: str | None = None,
        access_token: str | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._personal_token = personal_token
        self._access_token = access_token
        self._expires_at_s = float("inf") if access_token else 0.0
        self._http = httpx.Client(timeout=TIMEOUT, follow_redirects=False, trust_env=False, transport=transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def register(
        self, username: str, password: str, email: str | None = None, *, invitation: str | None = None
    ) -> dict[str, Any]:
        """Open an account; with an invitation it has the address that was invited."""
        body = {"username": username, "password": password, "email": email, "invitation": invitation}
        given = {name: value for name, value in body.items() if value is not None}
        return self._json("POST", "/api/v1/auth/register", json=given, anonymous=True)

    def recover(self, account: str) -> str:
        """Ask for a new password by mail; return what is said to everybody."""
        answer = self._json("POST", "/api/v1/auth/recover", json={"account": account}, anonymous=True)
        return str(answer["detail"])

    def set_new_password(self, token: str, new_password: str) -> None:
        """Set a password with the token of the link that was mailed."""
        body = {"token": token, "new_password": new_password}
        self._json("POST", "/api/v1/auth/new-password", json=body, anonymous=True)

    def change_address(self, email: str, password: str) -> None:
        """Begin a change of address after `login`; it counts once the link that is mailed there was followed."""
        self._json("POST", "/api/v1/me/email", json={"email": email, "current_password": password})

    def confirm_address(self, token: str) -> None:
        """Confirm an address with the token of the link that was mailed."""
        self._json("POST", "/api/v1/auth/confirm-address", json={"token": token}, anonymous=True)

    def login(self, username: str, password: str) -> None:
        """Log in; the session lasts as long as its access token."""
        body = {"username": username, "password": password}
        self._keep(self._json("POST", "/api/v1/auth/login", json=body, anonymous=True))

    def make_personal_token(self, name: str, days: int = 90) -> str:
        """Make a token for scripts; it is shown this once."""
        made = self._json("POST", "/api/v1/me/tokens", json={"name": name, "expires_in_days": days})
        return str(made["token"])

    def me(self) -> dict[str, Any]:
        """One's account."""
        return self._json("GET", "/api/v1/me")

    def keys(self) -> list[dict[str, Any]]:
        """Which keys of other services are stored; the keys themselves are never shown."""
        return list(self._json("GET", "/api/v1/me/keys")["items"])

    def store_key(self, name: str, value: str) -> None:
        """Store or replace a key of another service, such as ``nova_api_key``."""
        self._json("PUT", f"/api/v1/me/keys/{quote(name, safe='')}", json={"value": value}, repeat=True)

    def delete_key(self, name: str) -> None:
        """Delete a key of another service."""
        self._json("DELETE", f"/api/v1/me/keys/{quote(name, safe='')}")

    def upload(self, path: Path, *, purpose: str = "frame", name: str | None = None) -> UploadView:
        """Send a file straight to storage, checked by its hash.

        Raises
        ------
        AlidadeClientError
            The file cannot be read, or the server refused it.
        """
        try:
            size, sha256 = path.stat().st_size, _sha256(path)
        except OSError as error:
            raise AlidadeClientError(
                f"{path}: {(error.strerror or 'cannot be read').lower()}", code=ClientCode.UNREADABLE
            ) from None
        if size == 0:
            raise AlidadeClientError(f"{path}: the file is empty", code="fits_truncated")
        body = {"filename": name or path.name, "size": size, "sha256": sha256, "purpose": purpose}
        upload = UploadView.model_validate(self._json("POST", "/api/v1/uploads", json=body))
        self._put(str(upload.url), path, size)
        return UploadView.model_validate(self._json("POST", f"/api/v1/uploads/{upload.id}:complete", repeat=True))

    def reduce(
        self,
        upload_id: str,
        *,
        settings: Mapping[str, Any] | None = None,
        preset: str | None = None,
        key: str | None = None,
        masters: Mapping[str, str] | None = None,
    ) -> ReductionView:
        """Begin a reduction; safe to repeat with the same ``key``.

        ``masters`` names the master ``bias``, ``dark`` and ``flat`` by their uploads, or by the work that made them.
        """
        body = {"upload_id": upload_id, "settings": dict(settings or {}), "preset": preset}
        body |= {f"{kind}_upload_id": file_id for kind, file_id in (masters or {}).items()}
        headers = {"Idempotency-Key": key or uuid.uuid4().hex}
        answer = self._json("POST", "/api/v1/reductions", json=body, headers=headers, repeat=True)
        return ReductionView.model_validate(answer)

    def reduction(self, reduction_id: str) -> ReductionView:
        """A reduction as it stands."""
        return ReductionView.model_validate(self._json("GET", f"/api/v1/reductions/{quote(reduction_id, safe='')}"))

    def reductions(self, limit: int = 50) -> list[ReductionView]:
        """One's latest reductions, newest first."""
        page = self._json("GET", "/api/v1/reductions", params={"limit": limit})
        return [ReductionView.model_validate(item) for item in page["items"]]

    def abort(self, reduction_id: str) -> ReductionView:
        """Stop a reduction."""
        return ReductionView.model_validate(
            self._json("POST", f"/api/v1/reductions/{quote(reduction_id, safe='')}:abort", repeat=True)
        )

    def watch(self, reduction_id: str, *, every_s: float = 0.4) -> Iterator[ReductionView]:
        """Yield the reduction whenever it was looked at, the last time when it has ended.

        A server that is away is asked again for two minutes: reductions survive its restart.
        """
        return self._followed(lambda: self.reduction(reduction_id), lambda view: view.phase in FINAL, every_s)

    @staticmethod
    def _followed(look: Callable[[], View], ended: Callable[[View], bool], every_s: float) -> Iterator[View]:
        gone_since_s: float | None = None
        while True:
            try:
                view = look()
            except AlidadeClientError as error:
                now_s = time.monotonic()
                gone_since_s = now_s if gone_since_s is None else gone_since_s
                if error.code != "unreachable" or now_s - gone_since_s > PATIENCE_S:
                    raise
            else:
                gone_since_s = None
                yield view
                if ended(view):
                    return
            time.sleep(every_s)

    def download(self, reduction_id: str, name: str, path: Path) -> None:
        """Fetch one file of a result; nothing half-written is left behind."""
        self._fetch(f"/api/v1/reductions/{quote(reduction_id, safe='')}/results/{quote(name)}", path)

    def forced(self, reduction_id: str, positions: Iterable[Mapping[str, Any]], *, key: str | None = None) -> WorkView:
        """Begin to measure fluxes at given positions of the frame of a finished reduction.

        Parameters
        ----------
        positions : at most 10,000, each with ``x`` and ``y`` (zero-based pixels) or ``ra_deg`` and ``dec_deg`` (ICRS), and a
            ``name`` if wanted
        key : safe to repeat with the same one
        """
        return self.begin(
            f"/api/v1/reductions/{quote(reduction_id, safe='')}/forced", {"positions": list(positions)}, key
        )

    def master(
        self,
        kind: str,
        upload_ids: Sequence[str],
        *,
        bias: str | None = None,
        dark: str | None = None,
        settings: Mapping[str, Any] | None = None,
        key: str | None = None,
    ) -> WorkView:
        """Begin to build a master from uploads of raw frames.

        Parameters
        ----------
        kind : ``bias``, ``dark`` or ``flat``
        bias, dark : masters to take off, by their uploads or the work that made them
        settings : of the section ``input``
        """
        body = {"kind": kind, "upload_ids": list(upload_ids), "input": dict(settings or {})}
        return self.begin("/api/v1/masters", body | {"bias_id": bias, "dark_id": dark}, key)

    def extinction(self, reduction_ids: Sequence[str], *, key: str | None = None) -> WorkView:
        """Begin to fit the extinction of a night to five calibrated reductions of one band, or more."""
        return self.begin("/api/v1/extinction", {"reduction_ids": list(reduction_ids)}, key)

    def solve(
        self,
        *,
        name: str,
        stars: Mapping[str, Sequence[float]] | None = None,
        list_upload_id: str | None = None,
        frame_upload_id: str | None = None,
        size_px: tuple[int, int] | None = None,
        epoch_jyear: float | None = None,
        settings: Mapping[str, Any] | None = None,
        key: str | None = None,
    ) -> WorkView:
        """Begin to find where on the sky a frame is: from a list of stars, a table of them, or the frame.

        Parameters
        ----------
        stars : ``x``, ``y`` (0-based pixels) and ``flux``
        size_px : width and height of the image that a list is from
        epoch_jyear : of the exposure, for a list
        """
        width, height = size_px or (None, None)
        body = {
            "name": name, "stars": stars, "list_upload_id": list_upload_id, "frame_upload_id": frame_upload_id,
            "width_px": width, "height_px": height, "epoch_jyear": epoch_jyear, "settings": dict(settings or {}),
        }  # fmt: skip
        return self.begin("/api/v1/solutions", body, key)

    def frames_at(self, ra_deg: float, dec_deg: float) -> dict[str, Any]:
        """One's solved frames that hold a position (degrees, ICRS), newest first, with their outlines."""
        return self._json("GET", "/api/v1/frames", params={"ra": ra_deg, "dec": dec_deg})

    def work(self, work_id: str) -> WorkView:
        """A piece of work as it stands."""
        return WorkView.model_validate(self._json("GET", f"{WORK}/{work_id}"))

    def finished(
        self, work: WorkView, *, watch: Callable[[str], None] = lambda step: None, every_s: float = 0.4
    ) -> WorkView:
        """Wait until a piece of work has ended; a server that is away is asked again for two minutes.

        ``watch`` hears of every new step.

        Raises
        ------
        AlidadeClientError
            It ended without a result, with the code and the sentence that say why.
        """
        told = ""
        for done in self._followed(lambda: self.work(work.id), lambda view: view.phase in FINAL_PHASES, every_s):
            step = " ".join(filter(None, (done.progress.step, done.progress.message)))
            if step and step != told:
                told = step
                watch(step)
        if done.phase is JobPhase.COMPLETED:
            return done
        reason, code = (done.error.message, done.error.code) if done.error else ("It was stopped.", ClientCode.ABORTED)
        raise AlidadeClientError(reason, code=code)

    def fetch(self, work: WorkView, name: str, path: Path) -> None:
        """Fetch one file that a piece of work made; nothing half-written is left behind."""
        self._fetch(f"{WORK}/{work.id}/files/{name}", path)

    def begin(self, path: str, body: Mapping[str, Any], key: str | None = None) -> WorkView:
        """Start a piece of work by any path of the API that does; safe to repeat with the same key."""
        headers = {"Idempotency-Key": key or uuid.uuid4().hex}
        return WorkView.model_validate(self._json("POST", path, json=body, headers=headers, repeat=True))

    def _fetch(self, address: str, path: Path) -> None:
        """Fetch what a path of the API redirects to; nothing half-written is left behind."""
        answer = self._call("GET", address)
        part = path.with_name(path.name + ".part")
        try:
            with self._http.stream("GET", answer.headers["location"]) as response:
                if response.status_code >= 400:
                    response.read()
                    raise _error(response)
                with part.open("wb") as file:
                    for chunk in response.iter_bytes(CHUNK_BYTES):
                        file.write(chunk)
            part.replace(path)
        except httpx.TransportError as error:
            raise self._unreachable(error) from None
        finally:
            part.unlink(missing_ok=True)

    def get(self, path: str, **params: Any) -> Any:
        """GET any path of the API and return its JSON."""
        return self._json("GET", path, params=params or None)

    def post(self, path: str, body: Mapping[str, Any], *, repeat: bool = False, key: str | None = None) -> Any:
        """POST JSON to any path of the API and return its JSON; ``key`` makes a creation safe to repeat."""
        headers = {"Idempotency-Key": key} if key else None
        return self._json("POST", path, json=dict(body), repeat=repeat, headers=headers)

    def post_for_file(self, path: str, body: Mapping[str, Any], target: Path) -> Mapping[str, str]:
        """POST JSON, write the answer's body to a file and return its headers; the call must be safe to repeat."""
        answer = self._call("POST", path, json=dict(body), repeat=True)
        target.write_bytes(answer.content)
        return answer.headers

    def identify_again(self, reduction_id: str) -> ReductionView:
        """Have the catalogues that failed asked again for a finished reduction; `watch` it afterwards."""
        return ReductionView.model_validate(
            self._json("POST", f"/api/v1/reductions/{quote(reduction_id, safe='')}:identify")
        )

    def delete(self, path: str) -> None:
        """DELETE any path of the API."""
        self._call("DELETE", path)

    def _put(self, url: str, path: Path, size: int) -> None:
        def chunks() -> Iterator[bytes]:
            with path.open("rb") as file:
                while chunk := file.read(CHUNK_BYTES):
                    yield chunk

        try:
            response = self._http.put(url, content=chunks(), headers={"Content-Length": str(size)})
        except httpx.TransportError as error:
            raise self._unreachable(error) from None
        if response.status_code >= 400:
            raise _error(response)

    def _json(self, method: str, path: str, **options: Any) -> Any:
        response = self._call(method, path, **options)
        return response.json() if response.content else None

    def _call(
        self,
        method: str,
        path: str,
        *,
        anonymous: bool = False,
        repeat: bool | None = None,
        headers: Any = None,
        **options: Any,
    ) -> httpx.Response:
        repeat = method in ("GET", "DELETE", "PUT") if repeat is None else repeat
        tries = _TRIES if repeat else 1
        for number in range(tries):
            sent = dict(headers or {})
            if not anonymous:
                sent["Authorization"] = f"Bearer {self._token()}"
            last = number == tries - 1
            try:
                response = self._http.request(method, self.base_url + path, headers=sent, **options)
            except httpx.TransportError as error:
                if last:
                    raise self._unreachable(error) from None
                time.sleep(0.3 * 2**number)
                continue
            if response.status_code in (429, 502, 503, 504) and not last:
                wait = response.headers.get("retry-after", "")
                time.sleep(min(float(wait), 10.0) if wait.isdigit() else 0.3 * 2**number)
                continue
            if response.status_code >= 400:
                raise _error(response)
            return response
        raise AssertionError("unreachable")

    def _token(self) -> str:
        if self._access_token and time.monotonic() < self._expires_at_s - _RENEW_BEFORE_S:
            return self._access_token
        if self._personal_token is None:
            raise AlidadeClientError("Not logged in: run `alidade login`.", code="unauthorized", status=401)
        body = {"personal_token": self._personal_token}
        self._keep(self._json("POST", "/api/v1/auth/personal-token", json=body, anonymous=True, repeat=True))
        return str(self._access_token)

    def _keep(self, answer: Mapping[str, Any]) -> None:
        self._access_token = answer["access_token"]
        self._expires_at_s = time.monotonic() + float(answer["expires_in"])

    def _unreachable(self, error: Exception) -> AlidadeClientError:
        return AlidadeClientError(
            f"No answer from {self.base_url}: is the server running, and the address right?",
            code=ClientCode.UNREACHABLE,
        )


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _error(response: httpx.Response) -> AlidadeClientError:
    try:
        problem = response.json()
        message, code = str(problem["detail"]), str(problem["code"])
        problems = [f"{p.get('pointer', '')}: {p.get('message', '')}" for p in problem.get("errors") or ()]
        message = f"{message} ({'; '.join(problems)})" if problems and problems[0] not in message else message
    except (ValueError, KeyError, TypeError):
        message, code = f"The server answered with status {response.status_code}.", ClientCode.BAD_ANSWER
    return AlidadeClientError(message, code=code, status=response.status_code)
