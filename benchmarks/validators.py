"""What a height costs by the number of its validators: `python -m benchmarks.scale --validators 4 40 150`.

Twice: a whole network in the simulator, all nodes in one process; and the work of one node for each vote that comes in:
decoded, counted, its record of the log encoded. What a real signature takes to verify is in neither.
"""

from __future__ import annotations

import time
from typing import Any, Final

from consensus.events import BlockChecked, CheckBlock, Decide, Event, NewHeight, Received, Verified
from consensus.forms import encode_event
from consensus.height import Core, is_durable
from consensus.validators import ValidatorSet, new_validators
from node import garbage
from p2p.channels import Channel
from p2p.flood import Flood
from p2p.messages import MAX_VOTES, Votes, decode_message, encode_message
from qenex.block import PRECOMMIT, PREVOTE, Commit, CommitSignature, SignedProposal, SignedVote, Validator
from qenex.codec import encode
from qenex.crypto import SCHEMES
from qenex.crypto.address import Address
from tests.simulation.plan import Plan
from tests.simulation.world import World

HEIGHTS: Final = 5
PASSING: Final = 4
"""Nodes to which a simulated node passes on what others said."""
CHAIN: Final = "sim-validators"
SCHEME: Final = SCHEMES["composite-mldsa44-ed25519"]
BLOCK: Final = bytes(32)


def simulated(count: int) -> dict[str, Any]:
    """Heights of a simulated network without faults: processor time of all nodes together, and of one."""
    world = World(Plan(seed=1, powers=(1,) * count, heights=HEIGHTS, passing=PASSING))
    garbage.settle()
    start = time.process_time()
    outcome = world.run()
    seconds = time.process_time() - start
    garbage.release()
    if outcome.violations or outcome.height < HEIGHTS:
        raise SystemExit(f"{count} validators: {outcome.violations[:3]}")
    return {
        "messages_a_height": world.network.sent // outcome.height,
        "cpu_ms_a_height": round(seconds / outcome.height * 1e3, 1),
        "cpu_ms_a_height_and_node": round(seconds / outcome.height / count * 1e3, 2),
    }


class _Follower:
    """A node's work for messages of consensus, but for signatures, sockets and the disk."""

    def __init__(self, count: int) -> None:
        key = bytes(SCHEME.public_key_size + 1)
        self.validators: ValidatorSet = new_validators(
            Validator(Address(number.to_bytes(32, "big")), key, 1) for number in range(1, count + 1)
        )
        self.core = Core(CHAIN, None)
        self.flood = Flood(lambda *_: True, lambda *_: True, lambda: 0.0, lambda: 0.5)
        self.flood.connected("first")
        self.flood.connected("other")
        self.logged = 0
        self.decided: Commit | None = None

    def proposal(self, height: int) -> SignedProposal:
        """That of the height."""
        proposer = self.validators.proposer(0).address
        return SignedProposal(proposer, height, 0, -1, BLOCK, bytes(SCHEME.signature_size))

    def votes(self, height: int, kind: int) -> list[bytes]:
        """Everybody's, as a peer sends them."""
        signature = bytes(SCHEME.signature_size)
        addresses = [validator.address for validator in self.validators.validators]
        votes = [SignedVote(address, kind, height, 0, BLOCK, signature) for address in addresses]
        batches = [votes[at : at + MAX_VOTES] for at in range(0, len(votes), MAX_VOTES)]
        return [encode_message(Votes(tuple(batch))) for batch in batches]

    def post(self, event: Event) -> None:
        """As the engine does it; verifications and checks are answered at once."""
        if is_durable(event):
            self.logged += len(encode_event(event))
        for action in self.core.step(event):
            if isinstance(action, CheckBlock):
                self.post(BlockChecked(action.height, action.round, action.block_hash, True, True))
            elif isinstance(action, Decide):
                self.decided = action.commit

    def receive(self, peer: str, payload: bytes, *, new: bool) -> None:
        """A message of votes from a peer."""
        message = decode_message(Channel.CONSENSUS, payload)
        assert isinstance(message, Votes)
        self.flood.heard_votes(peer, message.votes)
        for vote in message.votes:
            self.post(Received(peer, vote))
            if new:
                self.post(Verified(peer, vote))


def alone(count: int) -> dict[str, Any]:
    """One node's processor time for a vote that is new to it, and for one that it has."""
    node = _Follower(count)
    heights = max(2, 600 // count)
    new = again = 0.0
    for height in range(1, heights + 1):
        node.flood.advance(height)
        proposal = node.proposal(height)
        prevotes, precommits = node.votes(height, PREVOTE), node.votes(height, PRECOMMIT)
        start = time.process_time()
        node.post(NewHeight(height, node.validators, True))
        node.post(Received("first", proposal))
        node.post(Verified("first", proposal))
        for payload in prevotes:
            node.receive("first", payload, new=True)
        middle = time.process_time()
        for payload in prevotes:
            node.receive("other", payload, new=False)
        end = time.process_time()
        for payload in precommits:
            node.receive("first", payload, new=True)
        new += time.process_time() - end + middle - start
        again += end - middle
        if node.decided is None or node.decided.height != height:
            raise SystemExit(f"{count} validators: height {height} was not decided")
        node.validators = node.validators.increment()
    return {
        "vote_us": round(new / heights / (2 * count) * 1e6, 1),
        "known_vote_us": round(again / heights / count * 1e6, 1),
        "logged_bytes_a_height": node.logged // heights,
    }


def validators(count: int) -> dict[str, Any]:
    """All of it."""
    signature = CommitSignature(Address(bytes(32)), 1, bytes(SCHEME.signature_size))
    commit = Commit(1, 0, BLOCK, (signature,) * count)
    return {"validators": count, **simulated(count), **alone(count), "commit_bytes": len(encode(commit))}
