"""Envelope encryption of third parties' keys."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import SecretStr

from astro_shared.clients.sealed_keys import KeyRing, SealedSecret, UnsealError

OLD, NEW = "o" * 32, "n" * 32


@pytest.fixture
def ring() -> KeyRing:
    return KeyRing({"1": OLD}, purpose="test")


def test_what_was_sealed_opens_for_its_owner_and_name(ring: KeyRing) -> None:
    sealed = ring.seal(b"secret", owner="ada", name="nova")
    assert ring.unseal(sealed, owner="ada", name="nova") == b"secret"
    assert b"secret" not in sealed.to_bytes()
    assert SealedSecret.from_bytes(sealed.to_bytes()) == sealed


def test_sealing_twice_gives_different_texts(ring: KeyRing) -> None:
    assert ring.seal(b"secret", owner="ada", name="nova") != ring.seal(b"secret", owner="ada", name="nova")


@pytest.mark.parametrize(("owner", "name"), [("bob", "nova"), ("ada", "colibri"), ("adan", "ova")])
def test_a_ciphertext_moved_to_another_row_does_not_open(ring: KeyRing, owner: str, name: str) -> None:
    sealed = ring.seal(b"secret", owner="ada", name="nova")
    with pytest.raises(UnsealError):
        ring.unseal(sealed, owner=owner, name=name)


@pytest.mark.parametrize("part", ["ciphertext", "wrapped_key"])
def test_a_changed_bit_is_noticed(ring: KeyRing, part: str) -> None:
    sealed = ring.seal(b"secret", owner="ada", name="nova")
    data = bytearray(getattr(sealed, part))
    data[-1] ^= 1
    with pytest.raises(UnsealError):
        ring.unseal(replace(sealed, **{part: bytes(data)}), owner="ada", name="nova")


def test_another_secret_or_purpose_does_not_open(ring: KeyRing) -> None:
    sealed = ring.seal(b"secret", owner="ada", name="nova")
    for other in (
        KeyRing({"1": NEW}, purpose="test"),
        KeyRing({"1": OLD}, purpose="other"),
        KeyRing({"2": OLD}, purpose="test"),
    ):
        with pytest.raises(UnsealError):
            other.unseal(sealed, owner="ada", name="nova")


def test_rotation_keeps_the_ciphertext_and_drops_the_old_secret(ring: KeyRing) -> None:
    sealed = ring.seal(b"secret", owner="ada", name="nova")
    both = KeyRing({"2": NEW, "1": OLD}, purpose="test")
    rewrapped = both.rewrap(sealed, owner="ada", name="nova")
    assert (rewrapped.key_version, rewrapped.ciphertext) == ("2", sealed.ciphertext)
    assert KeyRing({"2": NEW}, purpose="test").unseal(rewrapped, owner="ada", name="nova") == b"secret"


def test_a_setting_names_versions_the_current_first() -> None:
    ring = KeyRing.from_setting(SecretStr(f"2:{NEW}, 1:{OLD}"), purpose="test")
    assert ring.current_version == "2"
    assert KeyRing.from_setting(SecretStr(OLD), purpose="test").current_version == "v1"


@pytest.mark.parametrize("text", ["", "1:short", f"1:{OLD},1:{NEW}", f"{OLD},{NEW}", f"a b:{OLD}"])
def test_a_bad_setting_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        KeyRing.from_setting(SecretStr(text), purpose="test")
    assert OLD not in str(caught.value)
    assert "short:" not in str(caught.value)
