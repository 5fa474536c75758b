"""Two heights written by hand: what chance brings about too rarely, four validators and a traitor with a script.

Rounds of height 1, by who proposes in them (P0, P1, T, P3): in round 0 there is a polka for P0's block that no honest node
sees in time, so nobody locks. In round 1 P0 and P1 see a polka for P1's block and lock it, P3 does not, and T says nil. In
round 2 T proposes, and P0 and P1 must not follow:

- `old polka`: the block of round 0, with its true proof of lock, which is older than the lock;
- `lost lock`: a new block, after P0 has lost its log, so that only its signer remembers the lock.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from consensus import events
from qenex.block import PRECOMMIT, PREVOTE, SignedProposal, SignedVote
from tests.simulation import oracle
from tests.simulation.byzantine import Traitor
from tests.simulation.clock import MS, SECOND
from tests.simulation.node import Found, Proposed, SimNode
from tests.simulation.plan import CrashAt, Plan, calm
from tests.simulation.scheme import make_key
from tests.simulation.world import World


def proposers() -> list[int]:
    """Numbers of the validators by the first rounds of height 1 in which they propose; equal powers."""
    keys = [make_key(number) for number in range(4)]
    turn = oracle.first({key.address: 10 for key in keys})
    return [next(k.number for k in keys if k.address == oracle.proposer(turn, round)) for round in range(4)]


def scripted(kind: str) -> Plan:
    """The plan; `kind` as in the module."""
    return replace(
        calm(1), healing=6 * SECOND, byzantine=((proposers()[2], (kind,)),), heights=3, bound=30 * SECOND
    )


class Script(Traitor):
    """T: follows the rules but where the script says otherwise."""

    def _sign_now(self, action: events.SignProposal | events.SignVote) -> None:
        if action.height != 1 or action.round not in (1, 2):
            super()._sign_now(action)
        elif isinstance(action, events.SignVote):
            self._tell(SignedVote(self.address, action.type, 1, action.round, None, b""))
            step = events.Step.PREVOTE if action.type == PREVOTE else events.Step.PRECOMMIT
            self.inbox.append(events.SigningFailed(1, action.round, step))
        else:
            self._propose()

    def _tell(self, message: SignedVote | SignedProposal) -> None:
        signed = self.signed(message)
        for peer in self.world.peers(self):
            self.utter(peer, signed)

    def _propose(self) -> None:
        votes = self.core.state.driver.votes.rounds if self.core.state.driver is not None else {}
        old = votes[0].prevotes.majority if 0 in votes else None
        if "old polka" in self.kinds and old is not None:
            self._tell(SignedProposal(self.address, 1, 2, 0, old, b""))
            return
        body = SimNode.build(self, 1, 2)
        assert body is not None  # a node that is not a traitor always builds
        name = self.chain.name_of(body)
        self.world.watcher.made(name, body)
        self.bodies[name] = body
        victim = self.world.nodes[proposers()[0]]
        victim.arm(CrashAt(victim.index, 0, "before append", 1, 50 * MS, "no log"))
        self._tell(SignedProposal(self.address, 1, 2, -1, name, b""))


class DirectedWorld(World):
    """The network loses what the script does not want to arrive, in its first two rounds."""

    traitor = Script

    def __init__(self, plan: Plan, **options: Any) -> None:
        super().__init__(plan, **options)
        order = proposers()
        self._first, self._second, self._third, self._last = order
        self._names = {key.address: key.number for key in self.keys}
        self._receive = [node.receive for node in self.nodes]
        self.network.receivers = [partial(self._filtered, index) for index in range(len(self.nodes))]

    def _filtered(self, receiver: int, sender: int, message: Any) -> None:
        if not self._lost(receiver, message):
            self._receive[receiver](sender, message)

    def _lost(self, receiver: int, message: Any) -> bool:
        node = self.nodes[receiver]
        if not node.up or node.core.height != 1 or receiver == self._third:
            return False
        round, proposal = node.round, message.proposal if isinstance(message, Proposed) else message
        if round == 0 and receiver == self._last and isinstance(proposal, SignedProposal | Found):
            return True  # P3 prevotes nil
        if not isinstance(message, SignedVote) or message.round != round:
            return False
        author = self._names[message.address]
        if round == 0 and message.type == PREVOTE:  # nobody honest sees that three prevoted P0's block
            hidden = {self._first: self._second, self._second: self._first, self._last: self._third}
            return author == hidden.get(receiver)
        if round == 1 and message.type == PREVOTE:  # P3 does not see the polka for P1's block
            return receiver == self._last and author == self._second
        return round == 0 and message.type == PRECOMMIT and message.block_hash is not None
