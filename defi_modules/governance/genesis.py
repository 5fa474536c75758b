"""Governance at genesis: proposals with their ballots, polls, and what the guardian did."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from defi_modules.governance.base import GovernanceBase
from defi_modules.governance.types import (
    QUEUED,
    VOTING,
    Ballot,
    GuardianPause,
    ModuleName,
    Poll,
    Proposal,
)
from qenex.codec import codec_for
from qenex.crypto.address import Address
from qenex.errors import InvalidGenesis
from qenex.types import U64, U128
from vm.context import Context
from vm.registry import check_record


class GenesisProposal(NamedTuple):
    """A proposal at genesis."""

    id: U64
    proposal: Proposal


class GenesisBallot(NamedTuple):
    """A vote, or an objection to what passed."""

    id: U64
    voter: Address
    ballot: Ballot


class GenesisWord(NamedTuple):
    """Power of a validator's delegators who spoke for themselves."""

    id: U64
    validator: Address
    power: U128


class GenesisPause(NamedTuple):
    """A pause by the guardian."""

    module: ModuleName
    pause: GuardianPause


class GenesisPoll(NamedTuple):
    """A poll."""

    id: U64
    poll: Poll


class GenesisVoter(NamedTuple):
    """Who has cast a ballot in a poll."""

    id: U64
    voter: Address


_RECORDS: Final[dict[str, type]] = {
    "proposals": GenesisProposal,
    "ballots": GenesisBallot,
    "objections": GenesisBallot,
    "own_words": GenesisWord,
    "own_objections": GenesisWord,
    "guardian_pauses": GenesisPause,
    "polls": GenesisPoll,
    "poll_ballots": GenesisVoter,
}
_LAST: Final = ("last_proposal", "last_poll")


class GovernanceGenesis(GovernanceBase):
    """Import and export."""

    def import_genesis(self, ctx: Context, data: dict[str, Any]) -> None:
        """Lists by name, as `export_genesis` writes them. What is open is opened again; deposits stand in the bank's part."""
        if set(data) - {*_RECORDS, *_LAST}:
            raise InvalidGenesis(f"modules.governance holds {', '.join([*_RECORDS, *_LAST])}")
        lists = {name: _records(data, name, record) for name, record in _RECORDS.items()}
        for name in _LAST:
            last = data.get(name, 0)
            known = lists["proposals" if name == "last_proposal" else "polls"]
            if type(last) is not int or not 0 <= last < 1 << 64 or any(item[0] > last for item in known):
                raise InvalidGenesis(f"modules.governance.{name} is a number, not below any id")
        deposits = opened = 0
        for number, proposal in lists["proposals"]:
            self.proposals.set(number, proposal)
            if proposal.status in (VOTING, QUEUED):
                due = proposal.voting_end_s if proposal.status == VOTING else proposal.execution_s
                self.agenda.set((due, number), 1)
                deposits, opened = deposits + proposal.deposit, opened + 1
        for number, voter, ballot in lists["ballots"]:
            self.ballots.set((number, voter), ballot)
        for number, voter, ballot in lists["objections"]:
            self.objections.set((number, voter), ballot)
        for number, validator, power in lists["own_words"]:
            self.own_words.set((number, validator), power)
        for number, validator, power in lists["own_objections"]:
            self.own_objections.set((number, validator), power)
        for module, pause in lists["guardian_pauses"]:
            self.guardian_pauses.set(module, pause)
        for number, poll in lists["polls"]:
            self.polls.set(number, poll)
            if poll.end_s > ctx.time_s:
                self.poll_ends.set((poll.end_s, number), 1)
                opened += 1
        for number, voter in lists["poll_ballots"]:
            self.poll_ballots.set((number, voter), 1)
        self.proposal_ids.resume(data.get("last_proposal", 0))
        self.poll_ids.resume(data.get("last_poll", 0))
        self.deposits.set(deposits or None)
        self.open_count.set(opened or None)

    def export_genesis(self, ctx: Context) -> dict[str, Any]:
        """Inverse of `import_genesis`. A pause itself is the machine's and is not exported: a new chain begins with none."""
        found: dict[str, list[tuple[Any, ...]]] = {
            "proposals": list(self.proposals.scan()),
            "ballots": [(*key, ballot) for key, ballot in self.ballots.scan()],
            "objections": [(*key, ballot) for key, ballot in self.objections.scan()],
            "own_words": [(*key, power) for key, power in self.own_words.scan()],
            "own_objections": [(*key, power) for key, power in self.own_objections.scan()],
            "guardian_pauses": list(self.guardian_pauses.scan()),
            "polls": list(self.polls.scan()),
            "poll_ballots": [key for key, _ in self.poll_ballots.scan()],
        }
        exported: dict[str, Any] = {}
        for name, items in found.items():
            record: Any = _RECORDS[name]
            if items:
                exported[name] = [codec_for(record).to_json(record(*item), "qx") for item in items]
        lasts = {"last_proposal": self.proposal_ids.last(), "last_poll": self.poll_ids.last()}
        return exported | {name: last for name, last in lasts.items() if last}


def _records(data: dict[str, Any], name: str, record: type) -> list[Any]:
    items = data.get(name, [])
    if not isinstance(items, list):
        raise InvalidGenesis(f"modules.governance.{name} is a list")
    return [
        check_record(codec_for(record), item, InvalidGenesis, f"modules.governance.{name}[{index}]")
        for index, item in enumerate(items)
    ]
