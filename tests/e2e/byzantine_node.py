"""`python -m tests.e2e.byzantine_node ARGUMENTS`: a node as `python -m node` runs it, whose validator equivocates.

With each of its prevotes for a block it also signs one for nil at the same place, past the guard, and sends both. It
stands for an operator who runs one key in two processes.

With `--secretly` it does that once and sends the contrary vote to nobody. The file `offence.json` in its home then
tells the height; the evidence goes out once there is a file `confess` beside it, as when somebody finds it later.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import node.node
from consensus.evidence import make_evidence
from node.__main__ import main
from node.config import load_config
from node.home import ValidatorKey, read_genesis, read_key
from node.network import NodeNetwork
from qenex.block import PREVOTE, Evidence, SignedVote, vote_sign_bytes


class TwoFaced(NodeNetwork):
    """Sends, besides what the engine says, its contrary."""

    key: ValidatorKey
    chain_id: str

    def send_vote(self, vote: SignedVote, *, own: bool) -> None:
        super().send_vote(vote, own=own)
        if own and vote.type == PREVOTE and vote.block_hash is not None:
            message = vote_sign_bytes(self.chain_id, PREVOTE, vote.height, vote.round, None)
            super().send_vote(vote._replace(block_hash=None, signature=self.key.sign(message)), own=True)


class Secretive(TwoFaced):
    """Votes twice once, and keeps the proof until it is told to give it away."""

    home: Path
    proof: Evidence | None = None

    def send_vote(self, vote: SignedVote, *, own: bool) -> None:
        NodeNetwork.send_vote(self, vote, own=own)
        if self.proof is None and own and vote.type == PREVOTE and vote.block_hash is not None:
            message = vote_sign_bytes(self.chain_id, PREVOTE, vote.height, vote.round, None)
            contrary = vote._replace(block_hash=None, signature=self.key.sign(message))
            self.proof = make_evidence(vote, contrary)
            (self.home / "offence.json").write_text(json.dumps({"height": vote.height}))
        elif self.proof is not None and (self.home / "confess").exists():
            self.send_evidence([self.proof])


if __name__ == "__main__":
    secretly = "--secretly" in sys.argv
    if secretly:
        sys.argv.remove("--secretly")
    config = load_config(Path(sys.argv[sys.argv.index("--home") + 1]), environment=os.environ)
    TwoFaced.key = read_key(config.validator_key_path)
    TwoFaced.chain_id = read_genesis(config.genesis_path).chain_id
    Secretive.home = config.home
    setattr(node.node, "NodeNetwork", Secretive if secretly else TwoFaced)  # noqa: B010  # the double that this file is for
    sys.exit(main(sys.argv[1:]))
