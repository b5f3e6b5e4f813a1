"""The import job's task, run with a link inside the process."""

import hashlib

import pytest

from astro_shared.contracts.catalogs import ImportReferenceRequest
from astro_shared.contracts.objects import ObjectRef
from astro_shared.errors import ForbiddenError
from astro_shared.jobs.task import LocalLink, TaskContext
from catalogs_service.domain.regions import Cone
from catalogs_service.errors import TooManyRowsError
from catalogs_service.factory import make_lists
from catalogs_service.tasks import import_reference

CSV = b"ra_deg,dec_deg,vt_mag\n30.5,46.8,7.1\n30.6,46.9,8.2\n"


@pytest.fixture
def run(tmp_path):
    file = tmp_path / "upload"
    file.write_bytes(CSV)
    ref = ObjectRef(key="uploads/u/1", sha256=hashlib.sha256(CSV).hexdigest(), size=len(CSV))

    def go(job_owner="user-1", most_rows=100, **options):
        target = {"data_folder": str(tmp_path / "data"), "most_rows": most_rows, "owner": job_owner}
        context = TaskContext(tmp_path, {ref.key: file}, LocalLink({"import_target": lambda _: target}))
        request = ImportReferenceRequest(name="mine", file=ref, file_name="tycho2.csv", **options)
        return import_reference(request, context).result["reference"]

    return go


def test_a_users_file_becomes_the_users_list(run, tmp_path):
    info = run()
    assert (info["name"], info["scope"], info["owner"], info["rows"], info["source"]) == (
        "mine", "user", "user-1", 2, "tycho2.csv",
    )  # fmt: skip
    assert info["bands"][0] == {"name": "vt_mag", "rows": 2, "brightest": 7.1, "faintest": 8.2}
    assert "pmra" in info["missing"]
    found = make_lists(tmp_path / "data").find("mine", "user-1").search(Cone(30.5, 46.8, 0.01))
    assert found["vt_mag"].tolist() == pytest.approx([7.1])


def test_a_user_can_not_make_a_list_for_everyone(run):
    with pytest.raises(ForbiddenError):
        run(scope="global")


def test_a_user_can_not_make_somebody_elses_list(run):
    assert run(owner="user-1")["owner"] == "user-1"


def test_a_service_for_itself_makes_a_list_for_everyone(run):
    assert run(job_owner=None, scope="global")["scope"] == "global"


def test_too_many_rows_are_refused(run):
    with pytest.raises(TooManyRowsError, match="2 rows"):
        run(most_rows=1)
