"""Index folders that the operator added reach the solve task through its parent."""

import asyncio
import json

import pytest

from alidade.local.errors import LocalPlatformError
from alidade.local.index_folders import add_folder, added_folders
from astro_shared.jobs.task import LocalLink, TaskContext
from astrometry_service.adapters.engine_settings import ENGINE_SETTINGS, engine_settings, index_folders


def test_folders_of_the_worker_reach_the_task(tmp_path):
    answer = engine_settings(("/data/a", "/data/b"))

    def ask(payload):
        return json.loads(json.dumps(asyncio.run(answer(payload, None))))

    context = TaskContext(tmp_path, {}, LocalLink({ENGINE_SETTINGS: ask}))
    assert index_folders(context) == ("/data/a", "/data/b")


def test_a_task_without_a_platform_has_no_added_folders(tmp_path):
    assert index_folders(TaskContext(tmp_path, {}, LocalLink())) == ()


def test_an_added_folder_is_kept_once_and_needs_index_files(tmp_path):
    folder = tmp_path / "indexes"
    with pytest.raises(LocalPlatformError, match="no folder"):
        add_folder(tmp_path, folder)
    folder.mkdir()
    with pytest.raises(LocalPlatformError, match="holds no file"):
        add_folder(tmp_path, folder)
    (folder / "index-4110.fits").touch()
    add_folder(tmp_path, folder)
    assert add_folder(tmp_path, folder) == (str(folder),) == added_folders(tmp_path)


def test_a_damaged_list_of_folders_is_named(tmp_path):
    (tmp_path / "index_folders.json").write_text("{")
    with pytest.raises(LocalPlatformError, match="damaged"):
        added_folders(tmp_path)
