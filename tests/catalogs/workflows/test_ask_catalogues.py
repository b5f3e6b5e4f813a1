"""All catalogues at once, over real sockets: statuses, causes, caching, and nothing that lies."""

import asyncio
import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import numpy as np
import pytest

from catalogs_service.adapters.catalogues.registry import CatalogueRegistry
from catalogs_service.adapters.reference_store import ReferenceStore
from catalogs_service.adapters.upstream.answer_cache import AnswerCache
from catalogs_service.adapters.upstream.breaker_store import LocalBreakerStore
from catalogs_service.adapters.upstream.client import Deadlines, UpstreamClient
from catalogs_service.adapters.upstream.gate import UpstreamGate
from catalogs_service.algorithms.sky_match import MatchRadius
from catalogs_service.domain.positions import Positions
from catalogs_service.domain.questions import SkyField
from catalogs_service.domain.regions import Cone
from catalogs_service.domain.stars import Stars
from catalogs_service.domain.upstream_state import Limits
from catalogs_service.workflows.ask_catalogues import AskCatalogues
from catalogs_service.workflows.find_reference_stars import FindReferenceStars
from catalogs_service.workflows.identify_sources import identify_sources

FIELD = SkyField(Cone(81.28, 4.49, 0.2), 2025.0, datetime(2025, 1, 2, tzinfo=UTC))
ALL = ("simbad", "vsx", "milliquas", "skybot", "astro_colibri")
FIELDS = "".join(
    f'<FIELD name="{name}" datatype="{kind}" {extra}/>'
    for name, kind, extra in (
        ("main_id", "char", 'arraysize="*"'), ("otype", "char", 'arraysize="*"'), ("ra", "double", 'unit="deg"'),
        ("dec", "double", 'unit="deg"'), ("pmra", "double", ""), ("pmdec", "double", ""),
        ("Name", "char", 'arraysize="*"'), ("Type", "char", 'arraysize="*"'), ("RAJ2000", "double", 'unit="deg"'),
        ("DEJ2000", "double", 'unit="deg"'),
    )
)  # fmt: skip


def star(name, ra, dec, pmra=0.0, pmdec=0.0):
    return (name, "Star", ra, dec, pmra, pmdec, name, "EA", ra, dec)


async def no_key(name):
    return None


async def a_key(name):
    return "uid-1"


@pytest.fixture
async def ask(tmp_path, remote):
    async with httpx.AsyncClient(trust_env=False) as http:

        def build(*, online=True, url=None, most_rows=100):
            address = url or remote.url
            registry = CatalogueRegistry(
                simbad=f"{address}/simbad", vizier=f"{address}/vizier", vizier_tables=f"{address}/tables",
                skybot=f"{address}/skybot", astro_colibri=f"{address}/colibri", most_rows=most_rows,
            )  # fmt: skip
            memory = LocalBreakerStore()
            askers = {
                name: UpstreamClient(
                    http, UpstreamGate(memory, name, Limits(1000.0, 4)),
                    Deadlines(connect_s=1.0, read_s=0.5, total_s=3.0), user_agent="alidade/test",
                )
                for name in ("simbad", "vizier", "skybot", "astro_colibri")
            }  # fmt: skip
            cache = AnswerCache(tmp_path / "answers", longest_age_s=3600, limit_bytes=1 << 20)
            lists = ReferenceStore(tmp_path / "lists")
            made = AskCatalogues(registry, askers if online else {}, cache, FindReferenceStars(lists))

            async def go(names=ALL, field=FIELD, key=a_key):
                found = await made.ask(names, field, owner=None, release="dr3", key=key)
                return {answer.catalogue: answer for answer in found}

            return go

        yield build


def everyone(play, rows):
    """A server that answers each catalogue in its own way."""

    def script(heard, writer):
        if heard.path == "/skybot":
            return play.answers(b"", status=204)(heard, writer)
        if heard.path == "/colibri":
            return play.answers('{"voevents": []}', media_type="application/json")(heard, writer)
        return play.answers(play.votable(rows, FIELDS))(heard, writer)

    return script


async def test_all_answer(remote, play, ask):
    remote.plays(everyone(play, [star("HD 1", 81.28, 4.49)]))
    found = await ask()()
    assert {name: answer.status for name, answer in found.items()} == dict.fromkeys(ALL, "complete")
    assert len(found["simbad"].objects) == 1
    assert len(found["skybot"].objects) == 0
    assert found["simbad"].query.startswith("SELECT")
    assert found["simbad"].asked_at is not None


async def test_a_dead_network_ends_as_failed_unreachable_within_seconds(ask):
    began = time.monotonic()
    found = await ask(url="http://127.0.0.1:9")()
    assert time.monotonic() - began < 5.0
    assert {answer.status for answer in found.values()} == {"failed"}
    assert {answer.cause for answer in found.values()} == {"unreachable"}
    again = await ask(url="http://127.0.0.1:9")()
    assert {answer.cause for answer in again.values()} == {"unreachable"}


async def test_hanging_catalogues_are_waited_for_together(remote, play, ask):
    remote.plays(play.hangs())
    began = time.monotonic()
    found = await ask()()
    assert time.monotonic() - began < 3.0
    assert {answer.cause for answer in found.values()} == {"timeout"}


async def test_one_bad_catalogue_spoils_no_other(remote, play, ask):
    good = everyone(play, [star("HD 1", 81.28, 4.49)])

    def script(heard, writer):
        if heard.path == "/simbad":
            return play.answers("<html>maintenance</html>", media_type="text/html")(heard, writer)
        return good(heard, writer)

    remote.plays(script)
    found = await ask()()
    assert (found["simbad"].status, found["simbad"].cause) == ("failed", "malformed")
    assert {found[name].status for name in ALL[1:]} == {"complete"}


FAULTS = {
    "html": lambda play: play.answers("<html/>"),
    "error": lambda play: play.answers('<VOTABLE><INFO name="QUERY_STATUS" value="ERROR">x</INFO></VOTABLE>'),
    "cut": lambda play: play.answers(play.votable([star("a", 1, 1)], FIELDS)[:200]),
    "reset": lambda play: play.resets_in_body(),
    "500": lambda play: play.answers("", status=500),
    "404": lambda play: play.answers("", status=404),
    "429": lambda play: play.answers("", status=429, Retry_After="600"),
    "endless": lambda play: play.endless(),
}


@pytest.mark.parametrize("fault", sorted(FAULTS))
async def test_no_fault_is_read_as_nothing_or_kept(remote, play, ask, fault, tmp_path):
    remote.plays(FAULTS[fault](play))
    found = await ask()(("simbad", "vsx"))
    assert {answer.status for answer in found.values()} == {"failed"}
    assert all(answer.cause and answer.message for answer in found.values())
    assert list((tmp_path / "answers").iterdir()) == []


async def test_complete_answers_are_reused_and_say_their_age(remote, play, ask):
    remote.plays(everyone(play, [star("HD 1", 81.28, 4.49)]))
    await ask()()
    asked = len(remote.heard)
    dithered = SkyField(Cone(81.281, 4.489, 0.2), 2025.1, datetime(2025, 2, 2, tzinfo=UTC))
    found = await ask()(("simbad", "vsx", "milliquas"), dithered)
    assert len(remote.heard) == asked
    assert found["simbad"].cache_age_s >= 0
    assert len(found["simbad"].objects) == 1
    moving = await ask()(("skybot",), dithered)
    assert len(remote.heard) == asked + 1
    assert moving["skybot"].cache_age_s is None


async def test_astro_colibri_is_asked_as_its_client_library_asks(remote, play, ask):
    remote.plays(everyone(play, []))
    await ask()(("astro_colibri",), replace(FIELD, window_days=2.5))
    body = json.loads(remote.heard[0].body)
    assert body["filter"] == {"type": "TrueSpecification", "isActivated": True, "defaultState": False}
    begin, end = (datetime.fromisoformat(body["time_range"][name]) for name in ("min", "max"))
    assert end - begin == timedelta(days=5)
    assert begin.utcoffset() == timedelta(0)
    assert set(body["properties"]) == {"position", "radius"}
    assert (body["optional_parameters"], body["include_watchlist"]) == ([], False)


async def test_the_users_key_is_in_no_cached_file(remote, play, ask, tmp_path):
    remote.plays(everyone(play, []))
    await ask()(("astro_colibri",))
    assert json.loads(remote.heard[0].body)["uid"] == "uid-1"
    kept = [path.read_bytes() for path in (tmp_path / "answers").iterdir()]
    assert len(kept) == 1
    assert b"uid-1" not in kept[0]


async def test_an_overflow_is_partial_and_not_kept(remote, play, ask, tmp_path):
    rows = [star(f"HD {n}", 81.2 + n / 1000, 4.49) for n in range(8)]
    remote.plays(everyone(play, rows))
    found = await ask(most_rows=5)(("simbad",))
    assert (found["simbad"].status, found["simbad"].cause) == ("partial", "overflow")
    assert len(found["simbad"].objects) == 5
    assert list((tmp_path / "answers").iterdir()) == []


async def test_why_a_catalogue_was_not_asked(remote, play, ask):
    remote.plays(everyone(play, []))
    wide = SkyField(Cone(81.28, 4.49, 20.0))
    found = await ask()((*ALL, "nonsense", "gaia"), wide, no_key)
    assert {name: (answer.status, answer.cause) for name, answer in found.items()} == {
        "simbad": ("not_asked", "field_too_large"),
        "vsx": ("not_asked", "field_too_large"),
        "milliquas": ("not_asked", "field_too_large"),
        "skybot": ("not_asked", "field_too_large"),
        "astro_colibri": ("not_asked", "no_epoch"),
        "nonsense": ("not_asked", "unknown_catalogue"),
        "gaia": ("not_asked", "field_too_large"),
    }
    assert remote.heard == []
    assert (await ask()(("astro_colibri",), FIELD, no_key))["astro_colibri"].cause == "no_key"


async def test_offline_nothing_is_asked(remote, play, ask):
    found = await ask(online=False)((*ALL, "gaia"))
    assert {answer.status for answer in found.values()} == {"not_asked"}
    assert {answer.cause for answer in found.values()} == {"offline"}


async def test_gaia_comes_from_the_mirror(ask, tmp_path):
    stars = Stars({"source_id": np.array([5, 6]), "ra": np.array([81.28, 200.0]), "dec": np.array([4.49, 0.0])})
    ReferenceStore(tmp_path / "lists").save(stars, name="gaia", scope="global", owner=None, facts={})
    found = await ask()(("gaia",))
    assert found["gaia"].objects.identifier.tolist() == ["5"]


async def test_statuses_and_tables_of_an_identification(remote, play, ask):
    rows = [star("near", 81.28, 4.49), star("fast", 81.20, 4.45 - 10.0 / 3600, pmdec=400.0), star("alone", 81.40, 4.60)]
    good = everyone(play, rows)

    def script(heard, writer):
        if heard.form.get("QUERY", "").find("VII/294") > 0:
            return play.answers("", status=404)(heard, writer)
        return good(heard, writer)

    remote.plays(script)
    answers = list((await ask()(("simbad", "milliquas", "skybot"))).values())
    sources = Positions(
        np.array([1, 2, 3]), np.array([81.28, 81.20, 81.30]), np.array([4.49 + 0.3 / 3600, 4.45, 4.40]), np.full(3, 0.1)
    )
    found = identify_sources(sources, answers, epoch_jyear=2025.0, radius=MatchRadius())
    assert {item.answer.catalogue: (item.status, item.matches) for item in found.statuses} == {
        "simbad": ("matched", 2), "milliquas": ("failed", 0), "skybot": ("no_match", 0),
    }  # fmt: skip
    assert found.identified == 2
    assert found.identifications["simbad_id"].tolist() == ["near", "fast", ""]
    assert found.identifications["simbad_sep_arcsec"][0] == pytest.approx(0.3, abs=1e-6)
    assert "milliquas_id" not in found.identifications
    assert found.identifications["skybot_id"].tolist() == ["", "", ""]
    assert found.matches["object_id"].tolist() == ["near", "fast"]


async def test_many_frames_of_one_field_ask_once_each(remote, play, ask):
    remote.plays(everyone(play, []))
    run = ask()
    await run(("simbad",))
    fields = [SkyField(Cone(81.28 + n * 1e-4, 4.49, 0.2)) for n in range(20)]
    await asyncio.gather(*(run(("simbad",), field) for field in fields))
    assert len(remote.heard) <= 3
