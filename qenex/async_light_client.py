"""`client.light`: what an untrusted node tells, verified from a checkpoint.

    client = QenexClient(url, trusted=Checkpoint(height, hash), witnesses=["http://other:7300"])
    header = client.light.verify()               # the newest header, or the typed error that says what is wrong
    coin = client.state.verified_balance(address)       # proved against a header that the checkpoint vouches for

The rules are in `qenex.light_rules`, the walk in `qenex.light_chain`. Without a checkpoint every method but
`believe` raises InvalidArguments.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from typing import Protocol, TypeVar

from qenex.answers import SignedHeader, ValidatorSet
from qenex.block import Commit, Header, block_hash
from qenex.errors import InvalidArguments, ProofInvalid, QenexError
from qenex.light_chain import Answer, Ask, LightChain
from qenex.light_rules import Checkpoint, LightBlock, LightOptions

Found = TypeVar("Found")


class AsyncHeaderSource(Protocol):
    """The part of `client.chain` that is asked."""

    async def get_header(self, height: int | str = "latest") -> SignedHeader: ...

    async def get_commit(self, height: int | str = "latest") -> Commit: ...

    async def get_validators(self, height: int | str = "latest") -> ValidatorSet: ...


class AsyncLightNamespace:
    """See the module. `sources` are the node itself and then the witnesses."""

    def __init__(
        self,
        sources: Sequence[AsyncHeaderSource],
        checkpoint: Checkpoint | str | None,
        options: LightOptions | None = None,
        chain_id: str | None = None,
    ) -> None:
        self._sources = tuple(sources)
        if isinstance(checkpoint, str):
            checkpoint = Checkpoint.parse(checkpoint)
        if checkpoint is None and len(self._sources) > 1:
            raise InvalidArguments(
                "witnesses are of no use without a trusted checkpoint", hint="give trusted="
            )
        self._chain = None
        if checkpoint is not None:
            self._chain = LightChain(
                checkpoint,
                time.time_ns,
                witnesses=len(self._sources) - 1,
                options=options,
                chain_id=chain_id,
            )

    @property
    def configured(self) -> bool:
        """Whether there is a checkpoint."""
        return self._chain is not None

    @property
    def chain(self) -> LightChain:
        """Trusted headers so far, and which witnesses were found faulty. Raises InvalidArguments without a checkpoint."""
        if self._chain is None:
            raise InvalidArguments(
                "this client has no trusted checkpoint",
                hint="QenexClient(url, trusted=Checkpoint(height, hash))",
            )
        return self._chain

    async def verify(self, height: int | str = "latest") -> Header:
        """The header of a height (`latest`: the newest that the node tells of), verified.

        Raises TrustExpired, ProofInvalid, HeaderConflict, NoWitness, or what the node answers with.
        """
        chain = self.chain
        if not isinstance(height, int):
            height = (await self._sources[0].get_header(height)).header.height
        return await self._walk(chain.verify(height))

    async def verify_block(self, height: int) -> LightBlock:
        """The same, with a verified commit and validator set."""
        return await self._walk(self.chain.verify_whole(height))

    async def believe(self, header: Header) -> None:
        """Raise unless `header` is the one that the checkpoint vouches for. Does nothing without a checkpoint."""
        if self._chain is None:
            return
        known = await self.verify(header.height)
        if block_hash(known) != block_hash(header):
            raise ProofInvalid(f"the answer's header of height {header.height} is not the verified one")

    # -- inside --------------------------------------------------------------------------

    async def _walk(self, steps: Generator[Ask, Answer, Found]) -> Found:
        """Run a walk to its end, asking whom it names; what a source fails with is the walk's to judge."""
        try:
            ask = next(steps)
            while True:
                try:
                    answer = await self._ask(ask)
                except QenexError as error:
                    ask = steps.throw(error)
                else:
                    ask = steps.send(answer)
        except StopIteration as stop:
            found: Found = stop.value
            return found

    async def _ask(self, ask: Ask) -> Answer:
        source = self._sources[ask.source]
        header = (await source.get_header(ask.height)).header
        if not ask.whole:
            return header
        commit = await source.get_commit(ask.height)
        validators = self.chain.known_validators(header.validators_hash)
        if validators is None:
            validators = (await source.get_validators(ask.height)).validators
        return LightBlock(header, commit, validators)
