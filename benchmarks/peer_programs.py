"""Transfers by other programs, each in the environment that `make bench-peers` made for them.

`python benchmarks/peer_programs.py NAME COUNT` prints `{"count", "cpu_s", "wall_s"}`; exit code 3: not installed. Only the
standard library is imported here by name, and nothing of QENEX: what is measured is the peer's own face.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from importlib import import_module
from itertools import pairwise
from typing import Any

MISSING = 3


def revm(count: int) -> Callable[[], None]:
    """Plain value transfers by revm: executed and journaled in memory; no signature, no root, no disk."""
    pyrevm: Any = import_module("pyrevm")
    evm = pyrevm.EVM()
    senders = [f"0x{n + 1:040x}" for n in range(count)]
    for sender in senders:
        evm.set_balance(sender, 10**18)
    targets = [f"0x{10**12 + n:040x}" for n in range(count)]

    def run() -> None:
        for sender, target in zip(senders, targets):
            evm.message_call(caller=sender, to=target, value=1, gas=21_000)
        if evm.get_balance(targets[-1]) != 1:
            raise RuntimeError("the last transfer is missing")

    return run


def solana(count: int) -> Callable[[], None]:
    """Signed transfers by Solana's runtime (LiteSVM): decoded, signature verified, executed; no root, no disk."""
    modules = ("keypair", "message", "system_program", "transaction", "litesvm")
    keypair, message, system, transaction, litesvm = [import_module(f"solders.{name}") for name in modules]
    svm = litesvm.LiteSVM()
    keys = [keypair.Keypair.from_seed(n.to_bytes(32, "big")) for n in range(count + 1)]
    for key in keys:
        svm.airdrop(key.pubkey(), 10**10)
    blockhash = svm.latest_blockhash()
    raws = []
    for source, target in pairwise(keys):
        moved = system.TransferParams(from_pubkey=source.pubkey(), to_pubkey=target.pubkey(), lamports=5)
        body = message.Message.new_with_blockhash([system.transfer(moved)], source.pubkey(), blockhash)
        raws.append(bytes(transaction.Transaction([source], body, blockhash)))

    def run() -> None:
        for raw in raws:
            result = svm.send_transaction(transaction.Transaction.from_bytes(raw))
            if "Failed" in type(result).__name__:
                raise RuntimeError(str(result))

    return run


def pyevm(count: int) -> Callable[[], None]:
    """Signed transfers by py-evm: sender recovered from the signature, executed, one state root at the end; no disk."""
    base, atomic = import_module("eth.chains.base"), import_module("eth.db.atomic")
    forks, constants = import_module("eth.vm.forks"), import_module("eth.constants")
    keys = import_module("eth_keys").keys
    chain_class = base.MiningChain.configure("Peer", vm_configuration=((0, forks.IstanbulVM),), chain_id=1)
    secrets = [keys.PrivateKey((n + 1).to_bytes(32, "big")) for n in range(count)]
    rich = {"balance": 10**20, "nonce": 0, "code": b"", "storage": {}}
    parameters = {
        "difficulty": 1, "gas_limit": 3_141_592_000, "timestamp": 1, "coinbase": constants.ZERO_ADDRESS,
        "extra_data": b"", "nonce": constants.GENESIS_NONCE, "mix_hash": constants.ZERO_HASH32,
    }  # fmt: skip
    state = {secret.public_key.to_canonical_address(): rich for secret in secrets}
    chain = chain_class.from_genesis(atomic.AtomicDB(), parameters, state)
    vm = chain.get_vm()
    raws = []
    for n, secret in enumerate(secrets):
        target = (10**12 + n).to_bytes(20, "big")
        unsigned = vm.create_unsigned_transaction(
            nonce=0, gas_price=1, gas=21_000, to=target, value=1, data=b""
        )
        raws.append(unsigned.as_signed_transaction(secret).encode())
    decode = vm.get_transaction_builder().decode

    def run() -> None:
        header = vm.get_header()
        for raw in raws:
            receipt, _ = vm.apply_transaction(header, decode(raw))
            header = header.copy(gas_used=receipt.gas_used)
        vm.state.persist()

    return run


PROGRAMS: dict[str, Callable[[int], Callable[[], None]]] = {"revm": revm, "solana": solana, "py-evm": pyevm}


def main() -> None:
    """Prepare, run once, print."""
    name, count = sys.argv[1], int(sys.argv[2])
    try:
        run = PROGRAMS[name](count)
    except ImportError as error:
        print(f"{name}: {error}", file=sys.stderr)
        sys.exit(MISSING)
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    print(json.dumps({"count": count, "cpu_s": cpu, "wall_s": wall}))


if __name__ == "__main__":
    main()
