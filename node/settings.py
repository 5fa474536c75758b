"""Every setting of a node: default, unit, range and meaning. How they are read is in `node.config`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Spec:
    """What a setting may be. `low` and `high` bound numbers, text lengths and list lengths."""

    doc: str
    unit: str = ""
    low: int | None = None
    high: int | None = None
    choices: tuple[str, ...] = ()
    secret: bool = False

    @property
    def allowed(self) -> str:
        """The allowed values in words."""
        if self.choices:
            return " or ".join(f'"{choice}"' for choice in self.choices)
        if self.low is None or self.high is None:
            return "true or false"
        unit = f" {self.unit}" if self.unit else ""
        return f"{self.low} to {self.high}{unit}"


def setting(
    default: Any,
    doc: str,
    *,
    unit: str = "",
    low: int | None = None,
    high: int | None = None,
    choices: tuple[str, ...] = (),
    secret: bool = False,
) -> Any:
    """A dataclass field with its `Spec`."""
    return field(default=default, metadata={"spec": Spec(doc, unit, low, high, choices, secret)})


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """The process."""

    name: str = setting(
        "node", "name of this node in logs and `node_info`", unit="characters", low=1, high=64
    )
    log_level: str = setting(
        "info", "least level that is logged", choices=("debug", "info", "warning", "error")
    )
    log_format: str = setting(
        "text", "one line of text or one JSON object a record", choices=("text", "json")
    )
    min_free_disk_mib: int = setting(
        256,
        "the node stops cleanly when its disk has less free space; 0 never",
        unit="MiB",
        low=0,
        high=1 << 20,
    )


@dataclass(frozen=True, slots=True)
class RpcSettings:
    """JSON-RPC, WebSocket and REST."""

    enabled: bool = setting(True, "whether to listen at all")
    host: str = setting(
        "127.0.0.1",
        "address to listen on; anything but loopback is public",
        unit="characters",
        low=1,
        high=255,
    )
    port: int = setting(7300, "TCP port; 0 takes any free one", low=0, high=65_535)
    allowed_origins: tuple[str, ...] = setting(
        (), "web origins whose pages may call, such as https://app.example", unit="entries", low=0, high=64
    )
    allowed_hosts: tuple[str, ...] = setting(
        (), "names accepted in the Host header besides loopback ones", unit="entries", low=0, high=64
    )
    admin_socket: bool = setting(True, "open admin.sock in the home for `admin_` methods")
    admin_token: str = setting(
        "", "opens `admin_` methods over HTTP; empty: only the socket does", unit="characters", low=0, high=256,
        secret=True,
    )  # fmt: skip
    max_request_kib: int = setting(1_024, "one request", unit="KiB", low=16, high=65_536)
    max_batch: int = setting(100, "calls in one batch", low=1, high=10_000)
    max_connections: int = setting(1_000, "open connections", low=1, high=100_000)
    max_connections_per_address: int = setting(200, "open connections of one address", low=1, high=100_000)
    max_sessions: int = setting(200, "open WebSocket sessions", low=1, high=100_000)
    rate: int = setting(500, "cost units a second for one address; 0: no limit", low=0, high=1_000_000)
    burst: int = setting(2_000, "cost units at once for one address", low=1, high=1_000_000)
    limit_loopback: bool = setting(False, "callers on this machine have a rate too; set it behind a proxy")


@dataclass(frozen=True, slots=True)
class DatabaseSettings:
    """The store under the ledger."""

    backend: str = setting(
        "leveldb", "leveldb needs `qenex[node]`; memory forgets all", choices=("leveldb", "sqlite", "memory")
    )
    cache_mib: int = setting(64, "the database's own cache of blocks", unit="MiB", low=1, high=65_536)
    history: int = setting(
        1_000,
        "past state versions kept for reads and proofs; 0 keeps all",
        unit="blocks",
        low=0,
        high=1 << 32,
    )
    tree_process: str = setting(
        "auto",
        "whether state trees are computed in a process of its own; auto: where the machine has three cores or more",
        choices=("auto", "on", "off"),
    )
    retain_blocks: int = setting(
        0, "blocks and receipts kept; 0 keeps all", unit="blocks", low=0, high=1 << 32
    )


@dataclass(frozen=True, slots=True)
class MempoolSettings:
    """Transactions that wait for a block."""

    max_transactions: int = setting(50_000, "waiting transactions", low=1, high=10_000_000)
    max_mib: int = setting(64, "their bytes on the wire", unit="MiB", low=1, high=65_536)
    max_pending_per_sender: int = setting(64, "waiting transactions of one sender", low=1, high=64)
    remembered: int = setting(
        200_000, "identifiers of lately included transactions", low=100, high=10_000_000
    )
    max_wait_ms: int = setting(
        1_000, "for so long what was submitted here may wait for a block; more is refused as node_busy",
        unit="milliseconds", low=50, high=3_600_000,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class VerifierSettings:
    """Signature verification."""

    workers: int = setting(
        -1, "processes; 0 verifies in the node itself, -1 takes one for each core, at most 8", low=-1, high=64
    )
    max_queued: int = setting(32_768, "signatures that may wait", low=256, high=1 << 20)
    remembered: int = setting(100_000, "transactions remembered as verified", low=100, high=10_000_000)


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Block production."""

    min_interval_ms: int = setting(
        20,
        "least time between two blocks; what arrives meanwhile goes together",
        unit="ms",
        low=0,
        high=60_000,
    )
    settle_interval_ms: int = setting(
        1_000, "an empty block follows one with transactions after this, so that its root gets a header",
        unit="ms", low=10, high=60_000,
    )  # fmt: skip
    idle_interval_ms: int = setting(
        10_000, "an empty block follows an empty one after this", unit="ms", low=10, high=3_600_000
    )
    max_block_kib: int = setting(
        4_096, "transactions' bytes that this node proposes in a block", unit="KiB", low=128, high=4_096
    )


@dataclass(frozen=True, slots=True)
class P2pSettings:
    """The network of nodes."""

    enabled: bool = setting(True, "whether the node takes part in the network at all")
    host: str = setting(
        "127.0.0.1", "address to listen on for other nodes", unit="characters", low=1, high=255
    )
    port: int = setting(7400, "TCP port for other nodes; 0 takes any free one", low=0, high=65_535)
    external_address: str = setting(
        "",
        "host:port under which others reach this node; empty: not told",
        unit="characters",
        low=0,
        high=300,
    )
    persistent_peers: tuple[str, ...] = setting(
        (), "nodes always connected to, as `<node id>@host:port`", unit="entries", low=0, high=256
    )
    seeds: tuple[str, ...] = setting(
        (), "nodes asked for addresses, as `<node id>@host:port`", unit="entries", low=0, high=64
    )
    private_peer_ids: tuple[str, ...] = setting(
        (), "ids of nodes whose addresses are never told to others", unit="entries", low=0, high=256
    )
    max_inbound: int = setting(40, "connections that others made", low=0, high=1_000)
    max_outbound: int = setting(10, "connections this node makes, persistent ones apart", low=0, high=1_000)
    pex: bool = setting(True, "exchange addresses of nodes with others; a validator behind sentries does not")


@dataclass(frozen=True, slots=True)
class ConsensusSettings:
    """How long a round waits before it goes on without somebody."""

    timeout_propose_ms: int = setting(
        3_000,
        "for the proposal of round 0, counted from a reason to propose",
        unit="ms",
        low=50,
        high=600_000,
    )
    timeout_prevote_ms: int = setting(
        1_000, "for further prevotes, once more than 2/3 have voted", unit="ms", low=10, high=600_000
    )
    timeout_precommit_ms: int = setting(
        1_000, "for further precommits, once more than 2/3 have voted", unit="ms", low=10, high=600_000
    )
    timeout_delta_ms: int = setting(
        500, "each of these waits this much longer in each further round", unit="ms", low=1, high=60_000
    )
    precision_ms: int = setting(
        500, "how far apart the validators' clocks may be", unit="ms", low=1, high=60_000
    )
    message_delay_ms: int = setting(
        4_000,
        "a proposal that comes later than this after its block's time, and the clocks' difference, is not voted for",
        unit="ms",
        low=10,
        high=600_000,
    )
    record: bool = setting(
        False, "also write every event to consensus/recording, up to 256 MiB, for `replay-consensus`"
    )


@dataclass(frozen=True, slots=True)
class SnapshotSettings:
    """Copies of the state for nodes that join."""

    interval: int = setting(
        0, "a snapshot is made every so many heights; 0 never", unit="blocks", low=0, high=1 << 32
    )
    keep: int = setting(2, "newest snapshots kept", low=1, high=100)


@dataclass(frozen=True, slots=True)
class SyncSettings:
    """How a new node gets the chain."""

    trusted: str = setting(
        "",
        "a block you trust, `HEIGHT:HASH`: an empty data folder takes a snapshot that it vouches for, from peers; "
        "empty: every block is executed",
        unit="characters",
        low=0,
        high=100,
    )
    trusting_period_hours: int = setting(
        336, "age of a trusted block up to which it counts; below the unbonding period", unit="hours", low=1,
        high=24 * 365 * 100,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class SignerSettings:
    """Where the validator's key lies."""

    address: str = setting(
        "",
        "a signer process, `unix:PATH`, as started by `python -m node signer`; empty: the key lies in the home",
        unit="characters",
        low=0,
        high=300,
    )
    timeout_ms: int = setting(
        2_000, "longest wait for one signature of a signer process", unit="ms", low=50, high=60_000
    )
