"""The address of a client behind proxies."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["ForwardedAddressMiddleware", "Network", "client_address"]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def client_address(peer: str | None, forwarded: Sequence[str], trusted: Sequence[Network]) -> str | None:
    """Return the address from which a request came.

    Parameters
    ----------
    peer : address at the other end of the connection
    forwarded : values of ``X-Forwarded-For`` in the order in which they came
    trusted : networks of our own proxies, each of which appends the address that it saw

    Returns
    -------
    The peer where it is no proxy of ours. Otherwise the rightmost address that is none: what stands left of it was
    written by that client. Where all are trusted, the one that the nearest proxy saw.
    """
    if peer is None or not _is_among(peer, trusted):
        return peer
    hops = [hop.strip() for value in forwarded for hop in value.split(",") if hop.strip()]
    return next((hop for hop in reversed(hops) if not _is_among(hop, trusted)), hops[-1] if hops else peer)


class ForwardedAddressMiddleware:
    """Tell the application the client's address in place of that of a proxy in front of it.

    Parameters
    ----------
    trusted : networks of these proxies; without any nothing changes, whatever a header says
    """

    def __init__(self, app: ASGIApp, trusted: Sequence[Network]) -> None:
        self._app = app
        self._trusted = tuple(trusted)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "http" and scope.get("client") is not None:
            peer = scope["client"][0]
            forwarded = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
            address = client_address(peer, forwarded, self._trusted)
            if address != peer:
                scope = {**scope, "client": (address, 0)}
        await self._app(scope, receive, send)


def _is_among(address: str, networks: Sequence[Network]) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return any((mapped or parsed) in network for network in networks)
