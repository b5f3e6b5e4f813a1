"""Messages between processes."""

import math
import socket

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astro_shared.contracts.jobs import JobUsage
from astro_shared.jobs.sandbox import wire

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(TEXT, PLAIN, max_size=5))
def test_messages_arrive_as_they_were(message):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        wire.send(ours, message)
        assert wire.receive(theirs) == message


def test_missing_numbers_are_null_and_numpy_is_unwrapped():
    body = wire.encode(
        {
            "nan": math.nan,
            "inf": -math.inf,
            "scalar": np.float32(0.5),
            "bad": np.float64("nan"),
            "array": np.array([1.0, np.inf]),
            "count": np.int64(3),
            "flag": np.bool_(True),
            "model": JobUsage(seconds=1, cpu_seconds=1, peak_mb=2),
            "tuple": (1, 2),
        }
    )
    assert wire.decode(body[4:]) == {
        "nan": None, "inf": None, "scalar": 0.5, "bad": None, "array": [1.0, None], "count": 3, "flag": True,
        "model": {"seconds": 1.0, "cpu_seconds": 1.0, "peak_mb": 2.0}, "tuple": [1, 2],
    }  # fmt: skip


def test_text_that_the_database_refuses_is_replaced():
    body = wire.encode({"a\0": "NUL \0, surrogate \ud800, snowman \u2603"})
    assert wire.decode(body[4:]) == {"a\ufffd": "NUL \ufffd, surrogate ?, snowman \u2603"}


def test_a_message_may_not_be_too_large():
    with pytest.raises(wire.WireError):
        wire.encode({"x": "y" * wire.MAX_BYTES})


def test_a_closed_channel_ends_the_conversation():
    ours, theirs = socket.socketpair()
    with theirs:
        ours.sendall(b"\0\0\0\x05{")
        ours.close()
        with pytest.raises(EOFError):
            wire.receive(theirs)
