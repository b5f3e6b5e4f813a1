"""A command waits for a platform that another one is starting."""

from __future__ import annotations

import json
import os
from pathlib import Path
from threading import Timer

import pytest

from alidade.local.state import StateFolder
from alidade.session import local_platform


def test_a_folder_is_locked_while_somebody_holds_it(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    assert not state.is_locked()
    held = state.lock()
    assert state.is_locked()
    held.close()
    assert not state.is_locked()


def test_a_platform_that_is_being_started_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALIDADE_DATA", str(tmp_path))
    state = StateFolder(tmp_path)
    state.user_token.write_text("token\n")
    facts = json.dumps({"pid": os.getpid(), "url": "http://127.0.0.1:1"})
    ready = Timer(0.3, state.running.write_text, [facts])
    with state.lock():
        ready.start()
        with local_platform() as found:
            assert found == ("http://127.0.0.1:1", "token")
    ready.join()
