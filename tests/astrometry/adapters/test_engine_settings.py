"""What the operator decided reaches the solve task through its parent."""

import asyncio
import json
from types import SimpleNamespace

import pytest

from alidade.local.errors import LocalPlatformError
from alidade.local.index_folders import add_folder, added_folders
from astro_shared.errors import NotFoundError, UnavailableError
from astro_shared.jobs.task import LocalLink, TaskContext
from astrometry_service.adapters.engine_settings import ENGINE_SETTINGS, ask_engine_facts, engine_settings
from astrometry_service.adapters.nova_relay import KEY_NAME, NovaRelay

RUN = SimpleNamespace(job=SimpleNamespace(owner="user-1"))


def relay(open_key, **options):
    return NovaRelay(
        open_key,
        **({"online": True, "url": "http://127.0.0.1:9", "poll_s": 1.0, "proxy": None, "ca_file": None} | options),
    )


def asked(folder, nova, *, remote):
    answer = engine_settings(("/data/a", "/data/b"), nova)

    def ask(payload):
        return json.loads(json.dumps(asyncio.run(answer(payload, RUN))))

    return ask_engine_facts(TaskContext(folder, {}, LocalLink({ENGINE_SETTINGS: ask})), remote=remote)


async def a_key(user, name):
    assert (user, name) == ("user-1", KEY_NAME)
    return "secret"


async def no_key(user, name):
    raise NotFoundError("There is no such key.")


async def auth_is_away(user, name):
    raise UnavailableError("auth is away")


def test_folders_of_the_worker_and_a_usable_nova_reach_the_task(tmp_path):
    facts = asked(tmp_path, relay(a_key), remote=True)
    assert facts.index_folders == ("/data/a", "/data/b")
    assert facts.nova.usable and "secret" not in str(facts)


@pytest.mark.parametrize(
    ("nova", "remote", "reason"),
    [
        (relay(a_key), False, "switched off"),
        (relay(a_key, online=False), True, "by the operator"),
        (relay(no_key), True, "no API key"),
        (relay(None), True, "no API key"),
        (relay(auth_is_away), True, "cannot be fetched"),
    ],
)
def test_nova_is_usable_only_when_all_say_yes_and_there_is_a_key(tmp_path, nova, remote, reason):
    facts = asked(tmp_path, nova, remote=remote)
    assert not facts.nova.usable and reason in facts.nova.reason


def test_a_task_without_a_platform_has_no_added_folders(tmp_path):
    facts = ask_engine_facts(TaskContext(tmp_path, {}, LocalLink()), remote=True)
    assert facts.index_folders == () and not facts.nova.usable


def test_an_added_folder_is_kept_once_and_needs_index_files(tmp_path):
    folder = tmp_path / "indexes"
    with pytest.raises(LocalPlatformError, match="no folder"):
        add_folder(tmp_path, folder)
    folder.mkdir()
    with pytest.raises(LocalPlatformError, match="holds no file"):
        add_folder(tmp_path, folder)
    (folder / "index-4110.fits").touch()
    # before the platform was ever started, its folder is not there
    state = tmp_path / "not" / "there"
    add_folder(state, folder)
    assert add_folder(state, folder) == (str(folder),) == added_folders(state)
    # the database of a platform that root starts is another user's
    assert state.stat().st_mode & 0o055 == 0o055


def test_a_damaged_list_of_folders_is_named(tmp_path):
    (tmp_path / "index_folders.json").write_text("{")
    with pytest.raises(LocalPlatformError, match="damaged"):
        added_folders(tmp_path)
