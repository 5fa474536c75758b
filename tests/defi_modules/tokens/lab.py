"""A chain with tokens, and short ways to use them."""

from __future__ import annotations

from typing import Any

from defi_modules.tokens import Controls, Tokens
from defi_modules.tokens.module import token_denom
from qenex.block import Receipt
from qenex.crypto import Address
from tests.vm.chain import ACTORS, Actor, Chain

ALICE, BOB, CAROL, DAVE = ACTORS[:4]
NONE = Controls(False, False, 0, None)


class TokenChain(Chain):
    """Alice creates; the others hold."""

    def __init__(self, **options: Any) -> None:
        super().__init__(Tokens, **options)

    def do(self, actor: Actor, name: str, *args: Any) -> Receipt:
        return self.send_block(actor, (f"tokens.{name}", args))

    def create(
        self,
        symbol: str = "GOLD",
        supply: int = 1_000_000,
        cap: int | None = None,
        controls: Controls | None = None,
        actor: Actor = ALICE,
    ) -> str:
        receipt = self.do(actor, "create", symbol, "a name", 6, "", supply, cap, controls)
        assert receipt.status == 0, receipt
        assert receipt.results == ((token_denom(actor.address, symbol),),)
        return token_denom(actor.address, symbol)

    def pay(self, actor: Actor, to: Address, amount: int, denom: str) -> Receipt:
        return self.run(self.send(actor, to, amount, denom))[0]
