"""`python -m tests.e2e.byzantine_node ARGUMENTS`: a node as `python -m node` runs it, whose validator equivocates.

With each of its prevotes for a block it also signs one for nil at the same place, past the guard, and sends both. It
stands for an operator who runs one key in two processes.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import node.node
from node.__main__ import main
from node.config import load_config
from node.home import ValidatorKey, read_genesis, read_key
from node.network import NodeNetwork
from qenex.block import PREVOTE, SignedVote, vote_sign_bytes


class TwoFaced(NodeNetwork):
    """Sends, besides what the engine says, its contrary."""

    key: ValidatorKey
    chain_id: str

    def send_vote(self, vote: SignedVote, *, own: bool) -> None:
        super().send_vote(vote, own=own)
        if own and vote.type == PREVOTE and vote.block_hash is not None:
            message = vote_sign_bytes(self.chain_id, PREVOTE, vote.height, vote.round, None)
            super().send_vote(vote._replace(block_hash=None, signature=self.key.sign(message)), own=True)


if __name__ == "__main__":
    config = load_config(Path(sys.argv[sys.argv.index("--home") + 1]), environment=os.environ)
    TwoFaced.key = read_key(config.validator_key_path)
    TwoFaced.chain_id = read_genesis(config.genesis_path).chain_id
    setattr(node.node, "NodeNetwork", TwoFaced)  # noqa: B010  # the double that this file is for
    sys.exit(main(sys.argv[1:]))
