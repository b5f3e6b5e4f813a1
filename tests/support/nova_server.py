"""A local HTTP server that plays nova.astrometry.net: login, upload, submission, job, WCS file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs

from astropy.io import fits

SUBMISSION, JOB = 7, 11


@dataclass
class NovaSite:
    """What the site knows and was told.

    Attributes
    ----------
    key : the only one that may log in
    wcs : of the solution; None never solves
    waits : questions that are answered with "not yet"
    submissions : request-json of every upload
    """

    key: str
    wcs: fits.Header | None
    waits: int = 2
    url: str = ""
    submissions: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    def answer(self, path: str, body: dict[str, Any]) -> bytes | dict[str, Any]:
        """What comes back; body is the request-json of a POST."""
        self.paths.append(path)
        if path == "/api/login":
            good = body.get("apikey") == self.key
            return {"status": "success", "session": "S"} if good else {"status": "error", "errormessage": "bad apikey"}
        if path == "/api/upload":
            self.submissions.append(body)
            return {"status": "success", "subid": SUBMISSION}
        if path == f"/api/submissions/{SUBMISSION}":
            self.waits -= 1
            return {"jobs": [None] if self.waits >= 0 else [JOB]}
        if path == f"/api/jobs/{JOB}":
            return {"status": "success" if self.wcs is not None else "failure"}
        if path == f"/wcs_file/{JOB}" and self.wcs is not None:
            return self.wcs.tostring(padding=True).encode()
        raise KeyError(path)


@contextmanager
def nova_site(key: str, wcs: fits.Header | None) -> Iterator[NovaSite]:
    """The site on a free port of this machine, for as long as the block lasts."""
    site = NovaSite(key, wcs)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send({})

        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self._send(json.loads(form["request-json"][0]))

        def _send(self, body: dict[str, Any]) -> None:
            try:
                said = site.answer(self.path, body)
            except KeyError:
                self.send_error(404)
                return
            content = said if isinstance(said, bytes) else json.dumps(said).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
