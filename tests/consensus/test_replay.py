"""Recordings: any event and action has one form, and a recorded node comes out the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus import events
from consensus.events import Step
from consensus.evidence import make_evidence
from consensus.forms import decode_action, decode_event, encode_action, encode_event
from consensus.height import Core, is_durable
from consensus.replay import Recorder, read_recording, replay
from node.__main__ import main
from qenex.block import PRECOMMIT, PREVOTE
from qenex.errors import MalformedBytes, QenexError, TooLarge
from tests.consensus.network import (
    CHAIN,
    Network,
    address_of,
    block,
    make_commit,
    make_proposal,
    make_vote,
    validator_set,
)

VALIDATORS = validator_set(3, 2, 1)
A, B = block("a"), block("b")
VOTE = make_vote(1, PREVOTE, 2, None, 7)
EVENTS = [
    events.NewHeight(7, VALIDATORS),
    events.NewHeight(8, VALIDATORS.increment(), False),
    events.Recalled(7, 3, 1, A, 2, B),
    events.Recalled(7, 3, -1, None, -1, None),
    events.Received("peer", VOTE),
    events.Verified("", make_proposal(1, 0, A)),
    events.Refused("x", make_commit(VALIDATORS, 0, A)),
    events.BlockBuilt(7, 0, A),
    events.BlockChecked(7, 1, A, True, False),
    events.Signed(VOTE),
    events.Signed(make_proposal(2, 4, B, 3)),
    events.SigningFailed(7, 2, Step.PREVOTE),
    events.TimedOut(7, 2, Step.PRECOMMIT),
]
ACTIONS = [
    events.Verify("peer", VOTE),
    events.BuildBlock(7, 0),
    events.CheckBlock(7, 0, A, True),
    events.SignProposal(7, 1, 0, A),
    events.SignVote(7, 1, PRECOMMIT, None, -1, None, 0, A),
    events.KeepBody(A),
    events.Flush(),
    events.Send(VOTE, True),
    events.StartTimeout(7, 1, Step.PROPOSE),
    events.Decide(make_commit(VALIDATORS, 0, A, absent=(2,))),
    events.ReportEvidence(make_evidence(make_vote(1, PREVOTE, 0, A), make_vote(1, PREVOTE, 0, B))),
    events.Punish("peer", "why"),
    events.Stepped(7, 0, Step.PREVOTE),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_survives_its_form(event):
    again = decode_event(encode_event(event))
    assert again == event
    assert type(again) is type(event)


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: type(action).__name__)
def test_an_action_survives_its_form(action):
    again = decode_action(encode_action(action))
    assert again == action
    assert type(again) is type(action)


def test_every_kind_of_event_and_action_is_covered():
    assert {type(e) for e in EVENTS} == set(events.Event.__args__)
    assert {type(a) for a in ACTIONS} == set(events.Action.__args__)


@given(st.sampled_from(EVENTS + ACTIONS), st.integers(0, 400), st.integers(1, 255))
def test_damaged_forms_are_refused_or_say_something_else(record, place, change):
    is_event = isinstance(record, events.Event.__args__)
    encode_, decode_ = (encode_event, decode_event) if is_event else (encode_action, decode_action)
    data = bytearray(encode_(record))
    data[place % len(data)] ^= change
    try:
        other = decode_(bytes(data))
    except (MalformedBytes, TooLarge):
        return
    assert encode_(other) == bytes(data), "one form for each meaning"
    assert other != record


@given(st.binary(max_size=200))
def test_garbage_is_no_event(data):
    with pytest.raises(QenexError):
        decode_event(data)


class Taped(Core):
    """A core whose steps go through a recorder."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(recorder.core.chain_id, recorder.core.own_address)
        self.recorder = recorder

    def step(self, event):
        return self.recorder.step(event)


def record_network(heights: int = 3) -> tuple[Network, list[bytearray]]:
    network = Network(3, 2, 2, 2)
    files = []
    for node in network.nodes:
        written = bytearray()
        recorder = Recorder(node.core, written.extend)
        node.core = Taped(recorder)
        files.append(written)
    for height in range(1, heights + 1):
        network.begin(height)
        network.deliver()
        network.validators = network.validators.increment()
    assert all(len(node.decided) == heights for node in network.nodes)
    return network, files


def test_a_recording_replays_to_the_same_actions_and_the_command_says_so(tmp_path: Path, capsys):
    network, files = record_network()
    for number, data in enumerate(files):
        recording = read_recording(bytes(data))
        assert (recording.chain_id, recording.own_address) == (CHAIN, address_of(number + 1))
        assert not recording.torn
        assert len(recording.steps) == len(network.nodes[number].log)
        assert replay(recording) == []
    path = tmp_path / "recording"
    path.write_bytes(files[0])
    assert main(["replay-consensus", str(path)]) == 0
    said = capsys.readouterr().out
    assert "the same actions came out" in said
    assert "heights 1 to 3" in said


def test_the_command_shows_the_steps_that_come_out_otherwise(tmp_path: Path, capsys):
    written = bytearray()
    recorder = Recorder(Core(CHAIN, None), written.extend)
    recorder.step(events.NewHeight(1, VALIDATORS))
    recorder.core = Core("sim-other", address_of(1))  # it signs from here on
    recorder.step(events.NewHeight(1, VALIDATORS))
    path = tmp_path / "recording"
    path.write_bytes(written)
    assert main(["replay-consensus", str(path)]) == 1
    assert "step 1: NewHeight" in capsys.readouterr().out
    assert [d.number for d in replay(read_recording(bytes(written)))] == [1]


def test_the_command_refuses_what_is_no_recording(tmp_path: Path, capsys):
    path = tmp_path / "recording"
    assert main(["replay-consensus", str(path)]) == 10
    path.write_bytes(b"\x05\x00\x00\x00hello")
    assert main(["replay-consensus", str(path)]) == 10
    assert capsys.readouterr().out == ""


def test_a_recording_cut_anywhere_is_read_as_far_as_it_goes():
    _, files = record_network(1)
    data = bytes(files[0])
    whole = read_recording(data)
    head = 4 + int.from_bytes(data[:4], "little")
    for size in range(head, len(data), 37):
        recording = read_recording(data[:size])
        assert recording.steps == whole.steps[: len(recording.steps)]
        assert replay(recording) == []


def test_the_log_of_durable_events_reproduces_the_state_under_any_order_of_arrival():
    network, _ = record_network()
    for node in network.nodes:
        assert isinstance(node.core, Taped)
        again = Core(CHAIN, node.address)
        for event in node.log:
            if is_durable(event) or isinstance(event, events.NewHeight):
                again.step(event)
        assert again.state == node.core.recorder.core.state
        assert again.fingerprint() == node.core.recorder.core.fingerprint()
