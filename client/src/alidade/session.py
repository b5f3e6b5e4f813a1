"""A client for a command: a server that was named, a stored login, a running platform, or one started for the while."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from time import monotonic, sleep
from typing import Any

from alidade.client import AlidadeClient, AlidadeClientError
from alidade.credentials import stored_login
from alidade.local.errors import LocalPlatformError
from alidade.local.platform import READY_LIMIT_S, LocalPlatform
from alidade.local.state import StateFolder, default_folder


@contextmanager
def client_session(
    server: str | None = None, token: str | None = None, *, say: Callable[[str], None] = lambda text: None
) -> Iterator[AlidadeClient]:
    """In order: ``server`` with ``token`` or its stored login, the stored login's server, the platform that runs on this
    machine, one that is started now and stopped at the end.

    Raises
    ------
    AlidadeClientError
        There is no login for ``server``.
    LocalPlatformError
        The embedded platform cannot be started.
    """
    login = stored_login()
    if server is not None or (login is not None and token is None):
        address = server or (login.server if login else "")
        known = token or (login.personal_token if login and login.server.rstrip("/") == address.rstrip("/") else None)
        if known is None:
            raise AlidadeClientError(
                f"There is no login for {address}: run `alidade login --server {address}`.", code="unauthorized"
            )
        with AlidadeClient(address, personal_token=known) as client:
            yield client
        return
    with local_platform(say=say) as (url, personal_token), AlidadeClient(url, personal_token=personal_token) as client:
        yield client


@contextmanager
def local_platform(*, say: Callable[[str], None] = lambda text: None) -> Iterator[tuple[str, str]]:
    """Address and token of the platform of this machine, started and stopped here if none is running."""
    state = StateFolder(default_folder())
    running = state.read_running() or _starting(state)
    if running is not None:
        yield running["url"], state.user_token.read_text().strip()
        return
    platform = LocalPlatform(state, port=0, say=say)
    say("Starting the embedded platform")
    platform.start()
    done = Event()

    def keep() -> None:
        # What this thread starts again dies with it (the kernel's death signal goes by threads): it also stops all.
        try:
            platform.run(done.is_set)
        except LocalPlatformError as error:
            say(str(error))
        finally:
            platform.stop()

    keeper = Thread(target=keep, daemon=True)
    keeper.start()
    try:
        yield platform.url, state.user_token.read_text().strip()
    finally:
        done.set()
        keeper.join()


def _starting(state: StateFolder) -> dict[str, Any] | None:
    """A platform that another command is starting or stopping just now: what it says when it is ready, None when it is gone."""
    end = monotonic() + READY_LIMIT_S
    while state.is_locked() and monotonic() < end:
        running = state.read_running()
        if running is not None:
            return running
        sleep(0.1)
    return None
