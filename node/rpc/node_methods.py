"""`node_`, `chain_` and `mempool_` methods: the node itself, blocks, validators, the pool."""

from __future__ import annotations

from node.floor import Work
from node.rpc.declare import method
from node.rpc.dispatcher import Caller
from node.rpc.render import (
    ADDRESS,
    AMOUNT,
    BLOCK,
    BOOLEAN,
    HASH,
    INTEGER,
    SIGNED_HEADER,
    TEXT,
    TIME,
    Renderer,
    array,
    hex_of,
    nullable,
    page,
    shape,
)
from node.rpc.strict_json import Encoded, Json, dumps
from node.rpc.values import At, Cursor, Limit
from node.service import LATEST, NodeService
from node.steps import Slice, Steps, drive
from qenex.block import COMMIT, VALIDATOR
from qenex.codec import time_to_text
from qenex.crypto.address import encode_address
from qenex.errors import InvalidParams, LimitExceeded, NotFound, Pruned
from qenex.types import Bytes32

MAX_GENESIS_SIZE = 4 << 20
"""Bytes of the largest genesis that is given out in one answer."""
PEER = shape(
    "Peer", node_id=TEXT, address=TEXT, outbound=BOOLEAN, persistent=BOOLEAN, version=TEXT, name=TEXT,
    height=INTEGER, connected_s=INTEGER, latency_us=nullable(INTEGER), score=INTEGER, bytes_in=INTEGER,
    bytes_out=INTEGER, messages_in=INTEGER, messages_out=INTEGER, dropped_in=INTEGER, queued_bytes=INTEGER,
)  # fmt: skip
MEMPOOL = shape(
    "MempoolStatus", count=INTEGER, bytes=INTEGER, senders=INTEGER, max_count=INTEGER, max_bytes=INTEGER,
    max_pending_per_sender=INTEGER,
)  # fmt: skip


class NodeMethods:
    """The node itself."""

    def __init__(self, service: NodeService, renderer: Renderer) -> None:
        self._service = service
        self._renderer = renderer

    @method(
        "node_info",
        result=shape(
            "NodeInfo", name=TEXT, version=TEXT, protocol_version=INTEGER, chain_id=TEXT, genesis_hash=HASH,
            initial_height=INTEGER, address_prefix=TEXT, modules=array(TEXT), validator_address=nullable(ADDRESS),
            node_id=nullable(TEXT), p2p_address=nullable(TEXT),
        ),
        rest="/node/info",
    )  # fmt: skip
    def info(self) -> Json:
        """Who answers: chain, versions, address prefix, modules; the node's id and `<node id>@host:port`, where it has peers."""
        service = self._service
        genesis = service.genesis
        validator = service.identity.validator
        return {
            "name": service.identity.name,
            "version": service.identity.version,
            "protocol_version": service.block_info(service.height).protocol_version,
            "chain_id": genesis.chain_id,
            "genesis_hash": hex_of(service.ledger.genesis_hash),
            "initial_height": genesis.initial_height,
            "address_prefix": service.prefix,
            "modules": list(service.registry.modules),
            "validator_address": None if validator is None else encode_address(validator, service.prefix),
            "node_id": service.identity.node_id,
            "p2p_address": service.identity.p2p_address,
        }

    @method(
        "node_status",
        result=shape(
            "NodeStatus", height=INTEGER, block_hash=HASH, block_time=TIME, state_root=HASH,
            earliest_block=INTEGER, round=INTEGER, syncing=BOOLEAN, not_ready=TEXT, not_signing=TEXT, peers=INTEGER, price=AMOUNT,
            mempool=shape("PoolSize", count=INTEGER, bytes=INTEGER),
        ),
        rest="/node/status",
    )  # fmt: skip
    def status(self) -> Json:
        """Where the node stands: last block, state root, pool, price per gas.

        `not_signing` says why a validator's node does not sign: its signer is away, or refuses, or holds another key.
        """
        service = self._service
        blocks = service.ledger.blocks
        begun = service.height >= service.genesis.initial_height
        reason = service.not_ready()
        return {
            "height": service.height,
            "block_hash": hex_of(blocks.hash(service.height) if begun else service.ledger.genesis_hash),
            "block_time": time_to_text(service.block_info(service.height).time),
            "state_root": hex_of(service.state_root),
            "earliest_block": blocks.earliest,
            "round": blocks.commit(service.height).round if begun else 0,
            "syncing": reason.startswith("syncing"),
            "not_ready": reason,
            "not_signing": service.not_signing(),
            "peers": len(service.peers()),
            "price": str(service.price),
            "mempool": {"count": len(service.mempool), "bytes": service.mempool.size},
        }

    @method("node_peers", result=array(PEER), rest="/node/peers")
    def peers(self) -> Json:
        """Connected peers, without those that the settings call private; empty on a node that runs alone.

        Version, name and height are what a peer said when it came; `score` is what its breaches count, 100 bans.
        """
        return self._service.peers()

    @method("node_health", result=shape("NodeHealth", ready=BOOLEAN, reason=TEXT), rest="/node/health")
    def health(self) -> Json:
        """Whether the node is ready to serve, and why not; the same as `/readyz`."""
        reason = self._service.not_ready()
        return {"ready": not reason, "reason": reason}

    @method("mempool_status", result=MEMPOOL, rest="/mempool")
    def mempool_status(self) -> Json:
        """How many transactions wait, their bytes, and the bounds."""
        mempool = self._service.mempool
        return {
            "count": len(mempool),
            "bytes": mempool.size,
            "senders": mempool.statistics()["senders"],
            "max_count": mempool.limits.max_count,
            "max_bytes": mempool.limits.max_bytes,
            "max_pending_per_sender": mempool.limits.per_sender,
        }


class ChainMethods:
    """Blocks, headers, commits, validators, genesis."""

    def __init__(self, service: NodeService, renderer: Renderer) -> None:
        self._genesis: Encoded | None = None
        self._service = service
        self._renderer = renderer

    @method("chain_getBlock", result=BLOCK, rest="/blocks/{height}", cost=10, errors=(NotFound, Pruned))
    async def get_block(self, caller: Caller, height: At = LATEST) -> Json:
        """A block with its transactions in JSON form.

        Args:
            height: a height, "latest" or "earliest".
        """
        height = self._service.block_height(height)
        blocks = self._service.ledger.blocks
        block = blocks.block(height)
        caller.owe(len(block.transactions))
        return await drive(self._renderer.block_steps(block, blocks.hash(height)), Work.READS)

    @method(
        "chain_getBlockByHash",
        result=BLOCK,
        rest="/blocks/by-hash/{hash}",
        cost=10,
        errors=(NotFound, Pruned),
    )
    async def get_block_by_hash(self, caller: Caller, hash: Bytes32) -> Json:
        """A block by its hash.

        Args:
            hash: the block's hash.
        """
        return await self.get_block(caller, self._service.ledger.blocks.height_of(hash))

    @method("chain_getBlocks", result=page("HeaderPage", SIGNED_HEADER), rest="/blocks", cost=10)
    def get_blocks(self, limit: Limit = 20, cursor: Cursor | None = None) -> Json:
        """Headers with their hashes, newest first.

        Args:
            limit: items of the page, 1 to 100.
            cursor: `next_cursor` of the page before.
        """
        service = self._service
        blocks = service.ledger.blocks
        first = service.ledger.base_height
        top = service.height
        if cursor is not None:
            if not cursor.isdigit() or len(cursor) > 19:
                raise InvalidParams("cursor: not one of this method")
            top = min(int(cursor), top)
        heights = range(top, max(first, top - limit + 1) - 1, -1)
        items = [self._renderer.header(h, blocks.header(h), blocks.hash(h)) for h in heights]
        below = top - len(items)
        return {"items": items, "next_cursor": str(below) if items and below >= first else None}

    @method("chain_getHeader", result=SIGNED_HEADER, rest="/headers/{height}", errors=(NotFound, Pruned))
    def get_header(self, height: At = LATEST) -> Json:
        """A header and its hash. Its `state_root` is the state after the block before.

        Args:
            height: a height, "latest" or "earliest".
        """
        height = self._service.header_height(height)
        blocks = self._service.ledger.blocks
        return self._renderer.header(height, blocks.header(height), blocks.hash(height))

    @method("chain_getCommit", result=COMMIT.schema, rest="/commits/{height}", errors=(NotFound, Pruned))
    def get_commit(self, height: At = LATEST) -> Json:
        """The precommits that made a block final.

        Args:
            height: a height, "latest" or "earliest".
        """
        height = self._service.header_height(height)
        return self._renderer.commit(self._service.ledger.blocks.commit(height))

    @method(
        "chain_getValidators",
        result=shape("ValidatorSet", height=INTEGER, validators=array(VALIDATOR.schema)),
        rest="/validators/{height}",
        cost=5,
        errors=(NotFound, Pruned),
    )
    def get_validators(self, height: At = LATEST) -> Json:
        """The validators whose precommits count at a height: those of its header's `validators_hash`.

        Args:
            height: a height, "latest" or "earliest".
        """
        height = self._service.header_height(height)
        validators = self._service.validators_of(height)
        return {"height": height, "validators": self._renderer.validators(validators)}

    @method(
        "chain_getGenesis",
        result=shape("Genesis", hash=HASH, genesis={"type": "object"}),
        rest="/genesis",
        cost=20,
        errors=(LimitExceeded,),
    )
    async def get_genesis(self) -> Json:
        """The genesis and its hash."""
        service = self._service
        if len(service.genesis.record) > MAX_GENESIS_SIZE:
            raise LimitExceeded(
                f"the genesis has more than {MAX_GENESIS_SIZE} bytes",
                hint="take the genesis file from an operator",
            )
        if self._genesis is None:
            self._genesis = await drive(self._genesis_steps(), Work.READS)
        return self._genesis

    def _genesis_steps(self) -> Steps[Encoded]:
        parts: list[str] = []
        turn = Slice()
        for part in self._service.genesis.json_parts(self._service.prefix):
            parts.append(part)
            if turn.over():
                yield
        return Encoded(
            f'{{"hash":{dumps(hex_of(self._service.ledger.genesis_hash))},"genesis":{"".join(parts)}}}'
        )
