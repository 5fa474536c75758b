"""Chains of signed headers for the light client's tests: validator sets that change, and forks signed by some."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from qenex.block import (
    FLAG_ABSENT,
    FLAG_COMMIT,
    PRECOMMIT,
    Commit,
    CommitSignature,
    Header,
    Validator,
    block_hash,
    order_validators,
    validators_root,
    vote_sign_bytes,
)
from qenex.crypto.address import Address, address_of, key_bytes
from qenex.crypto.schemes import SCHEMES
from qenex.errors import NotFound, QenexError
from qenex.light_chain import Answer, Ask
from qenex.light_rules import LightBlock

CHAIN = "light-2"
SECOND = 10**9
START = 1_700_000_000 * SECOND
SCHEME = SCHEMES["ed25519"]


@cache
def keys(number: int) -> tuple[bytes, bytes]:
    """(tag + public key, secret key) of a numbered validator."""
    public, secret = SCHEME.generate(number.to_bytes(SCHEME.seed_size, "big"))
    return key_bytes(SCHEME.tag, public), secret


@cache
def address(number: int) -> Address:
    key, _ = keys(number)
    return address_of(key[0], key[1:])


def validator_set(powers: Mapping[int, int]) -> tuple[Validator, ...]:
    """Validators by number and power, in canonical order."""
    return order_validators(Validator(address(n), keys(n)[0], power) for n, power in powers.items())


NUMBERS = {address(n): n for n in range(64)}


def sign_commit(
    header: Header, validators: Sequence[Validator], signers: Iterable[int] | None = None, round: int = 0
) -> Commit:
    """The commit of `header` by `signers` (None: all of the set)."""
    chosen = None if signers is None else set(signers)
    digest = block_hash(header)
    statement = vote_sign_bytes(header.chain_id, PRECOMMIT, header.height, round, digest)
    entries = []
    for validator in validators:
        number = NUMBERS[validator.address]
        if chosen is None or number in chosen:
            signature = SCHEME.sign(keys(number)[1], statement)
            entries.append(CommitSignature(validator.address, FLAG_COMMIT, signature))
        else:
            entries.append(CommitSignature(validator.address, FLAG_ABSENT, b""))
    return Commit(header.height, round, digest, tuple(entries))


class History:
    """Blocks 1..n: `powers[i]` is the set of height i + 1 (the last one stays)."""

    def __init__(
        self, powers: Sequence[Mapping[int, int]], blocks: int, parent: History | None = None
    ) -> None:
        self.powers: list[Any] = list(powers)
        self.blocks: dict[int, LightBlock] = {} if parent is None else dict(parent.blocks)
        self.asked: list[Ask] = []
        for height in range(len(self.blocks) + 1, blocks + 1):
            self.add(height)

    def set_of(self, height: int) -> tuple[Validator, ...]:
        return validator_set(self.powers[min(height, len(self.powers)) - 1])

    def header(self, height: int, **changes: Any) -> Header:
        zero = bytes(32)
        parent = self.blocks.get(height - 1)
        made = Header(
            1, CHAIN, height, START + height * SECOND, zero if parent is None else block_hash(parent.header),
            address(0), validators_root(self.set_of(height)), validators_root(self.set_of(height + 1)), zero,
            height.to_bytes(32, "big"), zero, zero, zero, zero,
        )  # fmt: skip
        return made._replace(**changes)

    def add(
        self, height: int, signers: Iterable[int] | None = None, round: int = 0, **changes: Any
    ) -> LightBlock:
        """Put a block at a height; `changes` are of its header."""
        header, validators = self.header(height, **changes), self.set_of(height)
        block = LightBlock(header, sign_commit(header, validators, signers, round), validators)
        self.blocks[height] = block
        return block

    def fork(self, height: int) -> History:
        """A copy with everything below `height`."""
        copy = History(self.powers, 0)
        copy.blocks = {at: block for at, block in self.blocks.items() if at < height}
        return copy

    def answer(self, ask: Ask) -> Answer:
        self.asked.append(ask)
        block = self.blocks.get(ask.height)
        if block is None:
            raise NotFound(f"no block {ask.height}")
        return block if ask.whole else block.header


def walk(steps: Generator[Ask, Answer, Any], *sources: History | Callable[[Ask], Answer]) -> Any:
    """Run a walk against histories: the primary, then the witnesses."""
    try:
        ask = next(steps)
        while True:
            source = sources[ask.source]
            try:
                answer = source.answer(ask) if isinstance(source, History) else source(ask)
            except QenexError as error:
                ask = steps.throw(error)
            else:
                ask = steps.send(answer)
    except StopIteration as stop:
        return stop.value
