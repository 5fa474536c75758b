"""From a node's settings to its engine: the signer, checked against what the chain has seen of its key; the options."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, NamedTuple

from consensus.signer import SignerGuard
from ledger.store import Ledger
from node.bft_options import EngineOptions, Timeouts, Window
from node.bft_pace import Intervals
from node.config import Config
from node.home import ValidatorKey
from node.remote_signer import RemoteSigner
from node.signing import Signer, SignerIdentity
from qenex.block import FLAG_ABSENT
from qenex.errors import DoubleSignRefused, Pruned, QenexError, SignerStateBehind

log = logging.getLogger("qenex.node")

SIGNED_SEARCH: Final = 1_000
"""Blocks looked back through for the key's last signature."""


class OpenedSigner(NamedTuple):
    """A signer, whose key it guards, and how to let go of it."""

    signer: Signer
    identity: SignerIdentity
    close: Callable[[], None]


def open_signer(config: Config, ledger: Ledger, key: ValidatorKey | None) -> OpenedSigner | None:
    """The guard of the key in the home, or the signer process of the settings; None: this node signs nothing.

    Blocks for as long as a signer process takes to answer. Raises the signer state's errors, SignerUnavailable, and
    DoubleSignRefused where the chain's only validator has older data than its key has signed for.
    """
    if config.signer.address:
        remote = RemoteSigner(
            config.signer.address, chain_id=ledger.chain_id, timeout=config.signer.timeout_ms / 1_000
        )
        opened = OpenedSigner(remote, remote.describe(), remote.close)
    elif key is None:
        return None
    else:
        guard = SignerGuard.open(
            config.signer_state_path,
            chain_id=ledger.chain_id,
            scheme_tag=key.scheme.tag,
            public_key=key.public_key,
            sign=key.sign,
            signed_height=0,
        )
        opened = OpenedSigner(guard, key, guard.close)
    try:
        _check_against_chain(opened, ledger)
    except BaseException:
        opened.close()
        raise
    return opened


def _check_against_chain(opened: OpenedSigner, ledger: Ledger) -> None:
    signed, height = opened.signer.memory.height, ledger.height
    seen = signed_height(ledger, opened.identity)
    if signed < seen:
        raise SignerStateBehind(
            f"the signer last signed at height {signed}, but the chain holds a signature of this key at height {seen}"
        )
    if signed > height + 1:
        begun = height >= ledger.initial_height
        validators = ledger.validators_at(height + 1) if begun else ledger.genesis.validators
        if len(validators) == 1:
            raise DoubleSignRefused(
                f"this key has signed at height {signed}, but the data folder ends at {height}: it is an old copy",
                hint="restore the newest data folder; with this one the chain would fork",
            )
        log.warning(
            "the data folder is older than what this key has signed: nothing is signed before the chain has come there",
            extra={"height": height, "signed_height": signed},
        )


def signed_height(ledger: Ledger, key: SignerIdentity) -> int:
    """The greatest height for which the chain holds a signature of this key; 0 if none was found."""
    for height in range(ledger.height, max(ledger.initial_height, ledger.height - SIGNED_SEARCH) - 1, -1):
        try:
            if all(validator.key != key.key for validator in ledger.validators_at(height)):
                continue
            commit = ledger.blocks.commit(height)
        except (Pruned, QenexError):
            return 0
        if any(vote.address == key.address and vote.flag != FLAG_ABSENT for vote in commit.signatures):
            return height
    return 0


def engine_options(config: Config) -> EngineOptions:
    """Options as the settings have them."""
    blocks, consensus = config.engine, config.consensus
    return EngineOptions(
        Intervals(
            blocks.min_interval_ms / 1_000,
            blocks.settle_interval_ms / 1_000,
            blocks.idle_interval_ms / 1_000,
        ),
        Timeouts(
            consensus.timeout_propose_ms / 1_000,
            consensus.timeout_prevote_ms / 1_000,
            consensus.timeout_precommit_ms / 1_000,
            consensus.timeout_delta_ms / 1_000,
        ),
        Window(consensus.precision_ms * 1_000_000, consensus.message_delay_ms * 1_000_000),
        blocks.max_block_kib << 10,
    )
