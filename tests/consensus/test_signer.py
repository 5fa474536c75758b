"""The guard never releases two signatures for one step, across restarts and failing disks."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus.signer import NO_LOCK, Lock, Memory, SignerGuard, SignerState, decode_state, encode_state
from qenex.block import PRECOMMIT, vote_sign_bytes
from qenex.crypto import SCHEMES
from qenex.errors import (
    DoubleSignRefused,
    SignerLocked,
    SignerStateBehind,
    SignerStateInvalid,
    SignerStateMissing,
)
from qenex.hashing import hasher

COMPOSITE = SCHEMES["composite-mldsa44-ed25519"]
PUBLIC, SECRET = COMPOSITE.generate(bytes([3]) * COMPOSITE.seed_size)
CHAIN = "test-1"
A, B = b"a" * 32, b"b" * 32


def sign(message: bytes) -> bytes:
    return COMPOSITE.sign(SECRET, message)


def key() -> dict[str, Any]:
    return {"chain_id": CHAIN, "scheme_tag": COMPOSITE.tag, "public_key": PUBLIC, "sign": sign}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "signer_state.json"


def reopen(path: Path, guard: SignerGuard | None = None, signed_height: int = 0) -> SignerGuard:
    if guard is not None:
        guard.close()
    return SignerGuard.open(path, signed_height=signed_height, **key())


def test_a_signature_is_valid_for_the_structured_request(path: Path):
    guard = SignerGuard.create(path, **key())
    signature = guard.sign_precommit(1, 0, A)
    assert COMPOSITE.verify(PUBLIC, vote_sign_bytes(CHAIN, PRECOMMIT, 1, 0, A), signature)


def test_the_same_request_gives_the_stored_signature_also_after_a_restart(path: Path):
    guard = SignerGuard.create(path, **key())
    first = guard.sign_precommit(5, 1, A)
    assert guard.sign_precommit(5, 1, A) == first
    guard = reopen(path, guard)
    assert guard.sign_precommit(5, 1, A) == first


def test_another_block_in_the_same_step_is_refused_also_after_a_restart(path: Path):
    guard = SignerGuard.create(path, **key())
    guard.sign_precommit(5, 1, A)
    for _ in range(2):
        with pytest.raises(DoubleSignRefused):
            guard.sign_precommit(5, 1, B)
        with pytest.raises(DoubleSignRefused):
            guard.sign_precommit(5, 1, None)
        guard = reopen(path, guard)


def test_steps_only_rise(path: Path):
    guard = SignerGuard.create(path, **key())
    guard.sign_proposal(2, 0, -1, A)
    guard.sign_prevote(2, 0, A)
    guard.sign_precommit(2, 0, A)
    refused: list[Callable[[], bytes]] = [
        lambda: guard.sign_proposal(2, 0, -1, A),
        lambda: guard.sign_prevote(2, 0, A),
        lambda: guard.sign_precommit(1, 9, A),
    ]
    for request in refused:
        with pytest.raises(DoubleSignRefused):
            request()
    guard.sign_proposal(2, 1, 0, B)
    guard.sign_precommit(3, 0, B)


def test_the_free_round_is_the_next_after_anything_signed(path: Path):
    guard = SignerGuard.create(path, **key())
    assert guard.free_round(1) == 0
    guard.sign_precommit(1, 0, A)
    assert guard.free_round(1) == 1
    assert guard.free_round(2) == 0
    guard.sign_proposal(2, 3, -1, A)
    assert guard.free_round(2) == 4
    with pytest.raises(DoubleSignRefused):
        guard.free_round(1)


def test_a_missing_state_refuses_and_says_how_to_recover(path: Path):
    with pytest.raises(SignerStateMissing) as caught:
        reopen(path)
    assert "--recover-signer" in caught.value.hint
    assert not path.exists()


def test_a_state_older_than_the_chain_refuses(path: Path):
    guard = SignerGuard.create(path, **key())
    guard.sign_precommit(7, 0, A)
    guard.close()
    with pytest.raises(SignerStateBehind):
        reopen(path, signed_height=8)
    reopen(path, signed_height=7).close()


def test_recovery_refuses_everything_up_to_the_named_height(path: Path):
    guard = SignerGuard.recover(path, height=8, **key())
    with pytest.raises(DoubleSignRefused):
        guard.sign_precommit(8, 0, A)
    with pytest.raises(DoubleSignRefused):
        guard.free_round(8)
    guard.sign_precommit(9, 0, A)
    guard.close()
    newer = SignerGuard.recover(path, height=8, **key())
    with pytest.raises(DoubleSignRefused):
        newer.sign_precommit(9, 0, B)


def test_a_state_is_never_created_over_another(path: Path):
    SignerGuard.create(path, **key()).close()
    before = path.read_bytes()
    with pytest.raises(SignerStateInvalid, match="exists"):
        SignerGuard.create(path, **key())
    assert path.read_bytes() == before


def test_a_second_process_is_kept_away(path: Path):
    guard = SignerGuard.create(path, **key())
    with pytest.raises(SignerLocked):
        reopen(path)
    guard.close()
    with pytest.raises(SignerLocked):
        guard.sign_precommit(1, 0, A)
    reopen(path).close()


def test_a_state_of_another_key_or_chain_refuses(path: Path):
    SignerGuard.create(path, **key()).close()
    other, _ = COMPOSITE.generate(bytes([4]) * 64)
    with pytest.raises(SignerStateInvalid, match="another key"):
        SignerGuard.open(path, signed_height=0, **{**key(), "public_key": other})
    with pytest.raises(SignerStateInvalid, match="for chain"):
        SignerGuard.open(path, signed_height=0, **{**key(), "chain_id": "test-2"})


@pytest.mark.parametrize("call", ["open", "write", "fsync", "rename"])
def test_a_failing_disk_releases_no_signature_and_keeps_the_old_state(
    path: Path, monkeypatch: pytest.MonkeyPatch, call: str
):
    guard = SignerGuard.create(path, **key())
    guard.sign_precommit(1, 0, A)
    before = path.read_bytes()

    def fail(*args: object, **kwargs: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, call, fail)
        with pytest.raises(OSError, match="No space"):
            guard.sign_precommit(2, 0, A)
    assert path.read_bytes() == before
    # The signature may not be given away later under another block either.
    with pytest.raises(DoubleSignRefused):
        guard.sign_precommit(2, 0, B)
    guard = reopen(path, guard)
    guard.sign_precommit(2, 0, B)


def test_the_state_is_on_disk_before_the_signature_is_released(path: Path, monkeypatch: pytest.MonkeyPatch):
    guard = SignerGuard.create(path, **key())
    calls: list[str] = []
    for name in ("fsync", "rename"):
        real = getattr(os, name)

        def noted(*args: Any, name: str = name, real: Any = real) -> Any:
            calls.append(name)
            return real(*args)

        monkeypatch.setattr(os, name, noted)
    signature = guard.sign_precommit(1, 0, A)
    assert calls == ["fsync", "rename", "fsync"]
    assert decode_state(path.read_bytes()).signature == signature


@given(
    st.builds(
        SignerState,
        st.text(max_size=64),
        st.binary(min_size=32, max_size=32),
        st.integers(0, 2**64 - 1),
        st.integers(0, 2**32 - 1),
        st.integers(0, 3),
        st.binary(max_size=200),
        st.binary(max_size=200),
        st.sampled_from([NO_LOCK, Lock(0, A, 3, B), Lock(-1, None, 2**32 - 1, A), Lock(4, B)]),
    )
)
def test_a_state_survives_its_encoding(state: SignerState):
    assert decode_state(encode_state(state)) == state


@given(data=st.data())
def test_a_damaged_state_is_refused(data: Any):
    good = encode_state(SignerState(CHAIN, A, 7, 1, 3, b"bytes", b"signature"))
    at = data.draw(st.integers(0, len(good) - 1))
    bad = data.draw(
        st.sampled_from([good[:at], good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :], b"", b"[]", b"null"])
    )
    with contextlib.suppress(SignerStateInvalid):
        assert decode_state(bad) == decode_state(good)


@given(
    st.lists(
        st.tuples(st.integers(1, 3), st.integers(0, 2), st.integers(1, 3), st.sampled_from([A, B, None]))
    )
)
def test_whatever_is_asked_no_step_gets_two_signatures(tmp_path_factory: Any, requests: list[Any]):
    path = tmp_path_factory.mktemp("signer") / "state.json"
    guard = SignerGuard.create(path, **{**key(), "sign": lambda message: b"signed " + message})
    released: dict[tuple[int, int, int], bytes] = {}
    for count, (height, round, step, block) in enumerate(requests):
        try:
            if step == 1:
                signature = guard.sign_proposal(height, round, -1, block or A)
            elif step == 2:
                signature = guard.sign_prevote(height, round, block)
            else:
                signature = guard.sign_precommit(height, round, block)
        except DoubleSignRefused:
            continue
        assert released.setdefault((height, round, step), signature) == signature
        if count % 3 == 0:
            guard.close()
            guard = SignerGuard.open(
                path, signed_height=0, **{**key(), "sign": lambda message: b"signed " + message}
            )
    guard.close()


# -- another place for the state -------------------------------------------------------------


class Drawer:
    """A vault in memory that counts its writes."""

    def __init__(self) -> None:
        self.data: bytes | None = None
        self.writes = 0
        self.closed = False

    def read(self) -> bytes:
        if self.data is None:
            raise SignerStateMissing("empty")
        return self.data

    def write(self, data: bytes) -> None:
        self.data = data
        self.writes += 1

    def close(self) -> None:
        self.closed = True


def test_a_vault_of_another_kind_guards_as_a_file_does() -> None:
    drawer = Drawer()
    identity: dict[str, Any] = {"chain_id": "test-1", "scheme_tag": 1, "public_key": bytes(32)}
    guard = SignerGuard.create(drawer, sign=lambda data: b"first" + data[:4], **identity)
    signature = guard.sign_prevote(1, 0, None)
    guard.close()
    assert drawer.closed
    assert drawer.writes == 2
    again = SignerGuard.open(drawer, sign=lambda data: b"second", signed_height=1, **identity)
    assert again.sign_prevote(1, 0, None) == signature, (
        "the stored signature, although the key signs otherwise"
    )
    with pytest.raises(DoubleSignRefused):
        again.sign_prevote(1, 0, bytes(32))
    with pytest.raises(SignerStateInvalid, match="exists already"):
        SignerGuard.create(drawer, sign=lambda data: b"", **identity)


def test_lock_and_valid_value_are_remembered_with_a_vote_across_restarts(path: Path):
    guard = SignerGuard.create(path, **key())
    guard.sign_prevote(4, 1, A, Lock(-1, None, 0, A))
    assert guard.memory == Memory(4, 1, 2, Lock(-1, None, 0, A))
    guard.sign_precommit(4, 1, A, Lock(1, A, 1, A))
    again = reopen(path, guard)
    assert again.memory == Memory(4, 1, 3, Lock(1, A, 1, A))
    assert again.place == (4, 1, 3)


def test_within_a_height_a_lock_is_never_lowered_and_the_next_height_begins_without(path: Path):
    guard = SignerGuard.create(path, **key())
    guard.sign_precommit(4, 1, A, Lock(1, A, 1, A))
    guard.sign_proposal(4, 2, 1, A)
    guard.sign_prevote(4, 2, None)
    assert guard.memory.lock == Lock(1, A, 1, A)
    guard.sign_precommit(4, 2, None, Lock(0, B, 2, B))
    assert guard.memory.lock == Lock(1, A, 2, B)
    guard.sign_proposal(5, 0, -1, B)
    assert guard.memory == Memory(5, 0, 1, NO_LOCK)


def test_a_state_of_the_first_schema_is_read_and_written_anew(path: Path):
    guard = SignerGuard.create(path, **key())
    guard.sign_precommit(4, 1, A)
    guard.close()
    fields = json.loads(path.read_bytes())
    for name in ("checksum", "locked_round", "locked_hash", "valid_round", "valid_hash"):
        del fields[name]
    fields["schema_version"] = 1
    fields["checksum"] = hasher("qx.signer")(json.dumps(fields, sort_keys=True).encode()).hex()
    path.write_text(json.dumps(fields))
    again = reopen(path)
    assert again.memory == Memory(4, 1, 3, NO_LOCK)
    again.sign_prevote(5, 0, A, Lock(-1, None, 0, A))
    assert json.loads(path.read_bytes())["schema_version"] == 2


@pytest.mark.parametrize(
    "change", [{"locked_round": 3}, {"locked_hash": "aa" * 32}, {"valid_round": -2}, {"valid_round": 2**32}]
)
def test_a_lock_whose_round_and_hash_do_not_belong_together_is_refused(path: Path, change: dict[str, Any]):
    SignerGuard.create(path, **key()).close()
    fields = json.loads(path.read_bytes()) | change
    del fields["checksum"]
    fields["checksum"] = hasher("qx.signer")(json.dumps(fields, sort_keys=True).encode()).hex()
    with pytest.raises(SignerStateInvalid):
        decode_state(json.dumps(fields).encode())
