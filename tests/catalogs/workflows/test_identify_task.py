"""The identify job's task: positions in, tables and statuses out."""

import hashlib
from datetime import UTC, datetime

import numpy as np
import pytest

from astro_shared.contracts.catalogs import IdentifyRequest
from astro_shared.contracts.objects import ObjectRef
from astro_shared.contracts.tables import MATCHES, POSITIONS
from astro_shared.fits.tables import read_columns, write_columns
from astro_shared.jobs.task import LocalLink, TaskContext
from catalogs_service.adapters.identification_files import answer_to_json
from catalogs_service.domain.questions import CatalogueAnswer, KnownObjects, no_objects
from catalogs_service.errors import PositionsError
from catalogs_service.tasks import identify

NAMES = ("simbad", "vsx", "skybot", "astro_colibri")


def objects(names, ra, dec, pmra=0.0):
    n = len(names)
    text = np.array(names, object)
    return KnownObjects(
        text, np.full(n, "Star", object), np.array(ra), np.array(dec), np.full(n, 0.05), np.full(n, pmra), np.zeros(n),
        np.full(n, 2000.0), np.full(n, '{"V": 9.7}', object),
    )  # fmt: skip


@pytest.fixture
def run(tmp_path):
    asked = []

    def go(columns, answers=(), *, earlier=None, **options):
        path = tmp_path / "positions.fits"
        write_columns(path, columns, POSITIONS)
        content = path.read_bytes()
        ref = ObjectRef(key="jobs/1/positions", sha256=hashlib.sha256(content).hexdigest(), size=len(content))
        (tmp_path / "work").mkdir(exist_ok=True)

        def ask(payload):
            asked.append(payload)
            return {"answers": [answer_to_json(answer, tmp_path, n) for n, answer in enumerate(answers)]}

        inputs = {ref.key: path}
        if earlier is not None:
            files = {name: tmp_path / f"earlier-{name}.fits" for name in ("matches", "identifications")}
            refs = {name: ObjectRef(key=f"jobs/0/{name}", sha256="0" * 64, size=1) for name in files}
            inputs |= {refs[name].key: file for name, file in files.items()}
            options["earlier"] = {**refs, "catalogues": earlier}
        context = TaskContext(tmp_path / "work", inputs, LocalLink({"ask_catalogues": ask}))
        settings = {"catalogues": NAMES}
        request = IdentifyRequest(positions=ref, identification=settings, **options)
        output = identify(request, context)
        tables = {name: read_columns(file.path) for name, file in output.files.items()}
        return output.result, tables, asked

    return go


def two_sources(**more):
    return {"id": np.array([1, 2]), "ra": np.array([10.0, 10.1]), "dec": np.array([20.0, 20.1]), **more}


def test_matches_identifications_and_a_status_per_catalogue(run):
    answers = [
        CatalogueAnswer("simbad", "complete", objects(["HD 1", "far"], [10.0, 11.0], [20.0 + 0.2 / 3600, 21.0]),
                        query="SELECT", asked_at=datetime.now(UTC), seconds=0.2),
        CatalogueAnswer("vsx", "partial", objects(["V1"], [10.1], [20.1]), cause="overflow", message="more"),
        CatalogueAnswer("skybot", "complete", no_objects()),
        CatalogueAnswer("astro_colibri", "not_asked", no_objects(), cause="no_key", message="none set"),
    ]  # fmt: skip
    errors = {"ra_err_mas": np.array([50.0, np.nan]), "dec_err_mas": np.array([60.0, np.nan])}
    result, tables, asked = run(two_sources(**errors), answers, epoch_jyear=2025.0)
    words = {item["catalogue"]: (item["status"], item["cause"], item["matches"]) for item in result["catalogues"]}
    assert words == {
        "simbad": ("matched", None, 1), "vsx": ("partial", "overflow", 1), "skybot": ("no_match", None, 0),
        "astro_colibri": ("not_asked", "no_key", 0),
    }  # fmt: skip
    assert (result["sources"], result["identified"]) == (2, 2)
    matches, wide = tables["matches.fits"], tables["identifications.fits"]
    assert tuple(matches) == MATCHES.names()
    assert matches["object_id"].tolist() == ["HD 1", "V1"]
    assert matches["details"].tolist() == ['{"V": 9.7}'] * 2
    assert wide["simbad_id"].tolist() == ["HD 1", ""]
    assert wide["simbad_sep_arcsec"][0] == pytest.approx(0.2, abs=1e-5)
    assert "astro_colibri_id" not in wide
    cone = asked[0]["cone"]
    assert cone[:2] == pytest.approx([10.05, 20.05], abs=0.01)
    assert cone[2] > 0.07


def test_objects_are_carried_to_the_epoch_of_the_exposure(run):
    moving = objects(["fast"], [10.0], [20.0], pmra=1000.0 * np.cos(np.radians(20.0)))
    columns = two_sources(ra=np.array([10.0 + 25.0 / 3600, 10.1]))
    result, tables, _ = run(columns, [CatalogueAnswer("simbad", "complete", moving)], epoch_jyear=2025.0)
    assert tables["matches.fits"]["sep_arcsec"].tolist() == pytest.approx([0.0], abs=0.001)
    result, _, _ = run(columns, [CatalogueAnswer("simbad", "complete", moving)])
    assert result["catalogues"][0]["status"] == "no_match"


def test_without_a_position_nothing_is_asked(run):
    result, tables, asked = run(two_sources(ra=np.full(2, np.nan)))
    assert asked == []
    assert {item["cause"] for item in result["catalogues"]} == {"no_positions"}
    assert len(tables["matches.fits"]["id"]) == 0
    assert len(tables["identifications.fits"]["id"]) == 2


def test_nothing_matched_still_gives_both_tables(run):
    answers = [CatalogueAnswer(name, "complete", no_objects()) for name in NAMES]
    result, tables, _ = run(two_sources(), answers)
    assert {item["status"] for item in result["catalogues"]} == {"no_match"}
    assert tuple(tables["matches.fits"]) == MATCHES.names()
    assert tables["identifications.fits"]["vsx_id"].tolist() == ["", ""]


def test_a_table_without_positions_is_refused(run):
    with pytest.raises(PositionsError, match="no column ra, dec"):
        run({"id": np.array([1])})
    with pytest.raises(PositionsError, match="not on the sky"):
        run(two_sources(dec=np.array([91.0, 0.0])))


def test_only_what_failed_is_asked_again_and_the_rest_is_taken_over(run, tmp_path):
    first = [
        CatalogueAnswer("simbad", "complete", objects(["HD 1"], [10.0], [20.0]), asked_at=datetime.now(UTC)),
        CatalogueAnswer("vsx", "failed", no_objects(), cause="timeout", message="VizieR did not answer."),
        CatalogueAnswer("skybot", "complete", no_objects()),
        CatalogueAnswer("astro_colibri", "failed", no_objects(), cause="unreachable", message="away"),
    ]
    result, _, _ = run(two_sources(), first)
    assert result["identified"] == 1
    for name in ("matches", "identifications"):
        (tmp_path / "work" / f"{name}.fits").rename(tmp_path / f"earlier-{name}.fits")
    second = [
        CatalogueAnswer("vsx", "complete", objects(["V1", "V2"], [10.0, 10.1], [20.0, 20.1])),
        CatalogueAnswer("astro_colibri", "failed", no_objects(), cause="unreachable", message="still away"),
    ]
    done, completed, asked = run(two_sources(), second, earlier=result["catalogues"])
    assert asked[-1]["names"] == ["vsx", "astro_colibri"]
    words = {item["catalogue"]: (item["status"], item["matches"]) for item in done["catalogues"]}
    assert list(words) == list(NAMES)
    assert words == {
        "simbad": ("matched", 1), "vsx": ("matched", 2), "skybot": ("no_match", 0), "astro_colibri": ("failed", 0),
    }  # fmt: skip
    assert done["catalogues"][0] == result["catalogues"][0]
    assert done["catalogues"][3]["message"] == "still away"
    assert (done["sources"], done["identified"]) == (2, 2)
    matches, wide = completed["matches.fits"], completed["identifications.fits"]
    assert list(zip(matches["id"], matches["object_id"], strict=True)) == [(1, "HD 1"), (1, "V1"), (2, "V2")]
    assert wide["simbad_id"].tolist() == ["HD 1", ""]
    assert wide["vsx_id"].tolist() == ["V1", "V2"]
    assert wide["skybot_id"].tolist() == ["", ""]
    assert "astro_colibri_id" not in wide
