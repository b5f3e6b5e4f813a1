"""What is remembered of an upstream, step by step, without a clock."""

import pytest

from catalogs_service.domain.upstream_state import Limits, Refusal, UpstreamState

NOW = 1.8e9
LIMITS = Limits(requests_per_s=4.0, concurrency=2)


def broken(failures, at=NOW):
    state = UpstreamState()
    for _ in range(failures):
        state = state.failed("timeout", at)
    return state


def test_turns_are_apart_by_the_rate_and_places_are_counted():
    state, first = UpstreamState().entered("a", NOW, LIMITS, 20.0)
    state, second = state.entered("b", NOW, LIMITS, 20.0)
    full, third = state.entered("c", NOW, LIMITS, 20.0)
    assert (first.wait_s, second.wait_s, third) == (0.0, 0.25, None)
    assert full == state
    assert state.left("a").entered("c", NOW + 10, LIMITS, 20.0)[1].wait_s == 0.0


def test_a_place_that_is_not_renewed_is_free_after_its_lease():
    state = UpstreamState().entered("a", NOW, Limits(concurrency=1), 20.0)[0]
    renewed = state.renewed("a", NOW + 10, 20.0, probing=False)
    limits = Limits(concurrency=1)
    assert state.entered("b", NOW + 19, limits, 20.0)[1] is None
    assert state.entered("b", NOW + 21, limits, 20.0)[1] is not None
    assert renewed.entered("b", NOW + 21, limits, 20.0)[1] is None


@pytest.mark.parametrize(("failures", "open_s"), [(5, 30.0), (6, 60.0), (9, 480.0), (10, 900.0), (500, 900.0)])
def test_the_breaker_opens_after_five_failures_and_longer_each_time(failures, open_s):
    state = broken(failures)
    assert (state.breaker(NOW), state.open_until) == ("open", NOW + open_s)
    assert state.refusal(NOW + open_s - 1) == Refusal("open", NOW + open_s)
    assert (state.breaker(NOW + open_s), state.refusal(NOW + open_s)) == ("half_open", None)
    assert broken(4).refusal(NOW) is None


def test_a_half_open_breaker_has_one_probe_at_a_time():
    after = NOW + 31
    state, turn = broken(5).entered("a", after, LIMITS, 20.0)
    assert turn.probing
    assert state.refusal(after) == Refusal("open", after + 20)
    assert state.renewed("a", after + 10, 20.0, probing=True).refusal(after + 25) is not None
    # a probe that left without a word, or died, is taken again when its lease is over
    assert state.left("a").refusal(after + 21) is None
    assert state.succeeded(after).breaker(after) == "closed"
    assert state.failed("timeout", after).refusal(after + 59) == Refusal("open", after + 60)


def test_a_pause_holds_whatever_the_breaker_says_and_a_shorter_one_does_not_end_it():
    state = UpstreamState().paused(60.0, NOW).paused(5.0, NOW).succeeded(NOW)
    assert state.refusal(NOW + 59) == Refusal("paused", NOW + 60)
    assert state.refusal(NOW + 60) is None
    assert (state.last_cause, state.failures) == ("quota", 0)
