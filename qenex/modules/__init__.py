# Generated from the modules' declarations by `python -m node.generate`. Do not edit.
"""What the SDK knows of the chain's modules: records, messages, events."""

from __future__ import annotations

from qenex.building import MessageFace
from qenex.faces import NodeAccess
from qenex.modules import accounts, amm, bank, farming, governance, lending, machine, oracle, staking, tokens
from qenex.modules.accounts import Accounts
from qenex.modules.amm import Amm
from qenex.modules.bank import Bank
from qenex.modules.farming import Farming
from qenex.modules.governance import Governance
from qenex.modules.lending import Lending
from qenex.modules.machine import Machine
from qenex.modules.oracle import Oracle
from qenex.modules.staking import Staking
from qenex.modules.tokens import Tokens

MESSAGES: dict[str, MessageFace] = (
    {face.name: face for face in machine.MESSAGES}
    | {face.name: face for face in accounts.MESSAGES}
    | {face.name: face for face in bank.MESSAGES}
    | {face.name: face for face in tokens.MESSAGES}
    | {face.name: face for face in staking.MESSAGES}
    | {face.name: face for face in governance.MESSAGES}
    | {face.name: face for face in oracle.MESSAGES}
    | {face.name: face for face in amm.MESSAGES}
    | {face.name: face for face in lending.MESSAGES}
    | {face.name: face for face in farming.MESSAGES}
)

EVENTS: dict[str, type] = (
    machine.EVENTS
    | accounts.EVENTS
    | bank.EVENTS
    | tokens.EVENTS
    | staking.EVENTS
    | governance.EVENTS
    | oracle.EVENTS
    | amm.EVENTS
    | lending.EVENTS
    | farming.EVENTS
)


class ModuleFaces:
    """Every module of the chain as an attribute of the client."""

    machine: Machine
    accounts: Accounts
    bank: Bank
    tokens: Tokens
    staking: Staking
    governance: Governance
    oracle: Oracle
    amm: Amm
    lending: Lending
    farming: Farming

    def _attach(self, client: NodeAccess) -> None:
        self.machine = Machine(client)
        self.accounts = Accounts(client)
        self.bank = Bank(client)
        self.tokens = Tokens(client)
        self.staking = Staking(client)
        self.governance = Governance(client)
        self.oracle = Oracle(client)
        self.amm = Amm(client)
        self.lending = Lending(client)
        self.farming = Farming(client)
