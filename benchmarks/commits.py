"""Size and verification time of a commit: `python -m benchmarks.commits [--validators 4,50] [--schemes NAME,...] --json`.

Every validator has signed. The time is that of `qenex.light.verify_commit` in one thread, the best of a few rounds: what a
light client needs for one height; block sync shares the same work among its verifier processes. Eight key pairs of
a scheme are shared by all validators of a set: making 150 signatures of SLH-DSA takes longer than the measurement, and
neither size nor time depends on it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from typing import Any, Final

from qenex.block import (
    COMMIT,
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
from qenex.codec import encode
from qenex.crypto.address import Address, key_bytes
from qenex.crypto.schemes import SCHEMES
from qenex.light import verify_commit

COUNTS: Final = (4, 50, 100, 150)
KEYS: Final = 8
ROUNDS: Final = 3
CHAIN: Final = "bench-1"


def measured(scheme_name: str, counts: Sequence[int]) -> list[dict[str, Any]]:
    """One row for each number of validators."""
    scheme = SCHEMES[scheme_name]
    pairs = [scheme.generate(bytes([n + 1]) * scheme.seed_size) for n in range(min(KEYS, max(counts)))]
    secrets = {key_bytes(scheme.tag, public): secret for public, secret in pairs}
    keys = list(secrets)
    rows = []
    for count in counts:
        validators = order_validators(
            Validator(Address(n.to_bytes(32, "big")), keys[n % len(keys)], 10) for n in range(count)
        )
        header = _header(validators)
        digest = block_hash(header)
        statement = vote_sign_bytes(CHAIN, PRECOMMIT, header.height, 0, digest)
        signatures = {key: scheme.sign(secrets[key], statement) for key in {v.key: None for v in validators}}
        entries = [CommitSignature(v.address, FLAG_COMMIT, signatures[v.key]) for v in validators]
        commit = Commit(header.height, 0, digest, tuple(entries))
        best = min([_timed(header, commit, validators) for _ in range(ROUNDS)])
        rows.append(
            {
                "scheme": scheme_name,
                "validators": count,
                "commit_bytes": len(COMMIT.encode(commit)),
                "set_bytes": len(encode(tuple(validators))),
                "verify_ms": round(best * 1_000, 2),
            }
        )
    return rows


def _header(validators: Sequence[Validator]) -> Header:
    zero, root = bytes(32), validators_root(validators)
    return Header(
        1, CHAIN, 1_000_000, 1_700_000_000 * 10**9, zero, validators[0].address, root, root, zero, zero, zero,
        zero, zero, zero,
    )  # fmt: skip


def _timed(header: Header, commit: Commit, validators: Sequence[Validator]) -> float:
    started = time.perf_counter()
    verify_commit(header, commit, validators)
    return time.perf_counter() - started


def table(rows: Sequence[dict[str, Any]]) -> str:
    """A table of Markdown."""
    lines = [
        "| scheme | validators | commit, bytes | set, bytes | verification, ms |",
        "| --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {row['scheme']} | {row['validators']} | {row['commit_bytes']:,} | {row['set_bytes']:,} | {row['verify_ms']:.1f} |"
        for row in rows
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.commits", description=__doc__)
    parser.add_argument("--validators", default=",".join(map(str, COUNTS)), help="numbers of validators")
    parser.add_argument("--schemes", default=",".join(SCHEMES), help="names of signature schemes")
    parser.add_argument("--json", action="store_true", help="rows as JSON")
    given = parser.parse_args(arguments)
    counts = [int(count) for count in given.validators.split(",")]
    rows = [row for scheme in given.schemes.split(",") for row in measured(scheme, counts)]
    print(json.dumps({"rows": rows}, indent=1) if given.json else table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
