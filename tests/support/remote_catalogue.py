"""A remote catalogue that misbehaves on demand: raw bytes over a socket, so that every fault can be played."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

Script = Callable[["Heard", asyncio.StreamWriter], object]


@dataclass
class Heard:
    """One request as it came."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(urlsplit(self.target).query).items()}

    @property
    def form(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(self.body.decode()).items()}


@dataclass
class RemoteCatalogue:
    """Answers requests by scripts, the last of which goes on for ever."""

    port: int = 0
    scripts: list[Script] = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def plays(self, *scripts: Script) -> None:
        self.scripts = list(scripts)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            method, target, _ = head[0].split(" ")
            headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in head[1:] if ": " in line)}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            self.heard.append(Heard(method, target, headers, body))
            script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
            result = script(self.heard[-1], writer)
            if asyncio.iscoroutine(result):
                await result
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.at_once -= 1
            writer.close()


@asynccontextmanager
async def remote_catalogue() -> AsyncIterator[RemoteCatalogue]:
    """A server on a free loopback port."""
    remote = RemoteCatalogue()
    server = await asyncio.start_server(remote.serve, "127.0.0.1", 0)
    remote.port = server.sockets[0].getsockname()[1]
    try:
        yield remote
    finally:
        server.close()


def answers(content: bytes | str, *, status: int = 200, media_type: str = "text/xml", **headers: str) -> Script:
    """A plain answer."""
    body = content.encode() if isinstance(content, str) else content

    def play(_: Heard, writer: asyncio.StreamWriter) -> None:
        lines = [
            f"HTTP/1.1 {status} X",
            f"Content-Type: {media_type}",
            f"Content-Length: {len(body)}",
            "Connection: close",
        ]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    return play


def hangs(seconds: float = 60.0) -> Script:
    """No answer."""

    async def play(_: Heard, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(seconds)

    return play


def resets_in_body(content: bytes = b"<VOTABLE><RESOURCE>") -> Script:
    """A promise of more than comes."""

    def play(_: Heard, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 100000\r\n\r\n" + content)

    return play


def endless() -> Script:
    """A body without end."""

    async def play(_: Heard, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\n\r\n")
        for _n in range(10_000):
            writer.write(b"x" * 65536)
            await writer.drain()

    return play


def talks_nonsense() -> Script:
    """Not HTTP."""

    def play(_: Heard, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x16\x03\x01 nonsense\r\n\r\n")

    return play


def votable(rows: list[tuple[object, ...]], fields: str, *, info: str = "", tail: str = "") -> str:
    """A VOTable; ``fields`` are FIELD elements."""
    cells = "".join("<TR>" + "".join(f"<TD>{value}</TD>" for value in row) + "</TR>" for row in rows)
    table = f"<TABLE>{fields}<DATA><TABLEDATA>{cells}</TABLEDATA></DATA></TABLE>"
    return f'<?xml version="1.0"?><VOTABLE><RESOURCE type="results">{info}{table}{tail}</RESOURCE></VOTABLE>'
