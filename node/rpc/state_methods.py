"""`state_` methods, and one method for every query that a module declares."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any, Final

from node.rpc.declare import Method, Parameter, method
from node.rpc.render import (
    ADDRESS,
    AMOUNT,
    BOOLEAN,
    BYTES,
    INTEGER,
    STATE_PROOF,
    Renderer,
    nullable,
    proved,
    shape,
)
from node.rpc.rest import query_path
from node.rpc.strict_json import Json
from node.rpc.values import At, codec_of, remembering
from node.service import LATEST, NodeService
from qenex.codec import codec_for
from qenex.crypto.address import Address, encode_address
from qenex.errors import NotFound, Pruned
from qenex.state_keys import ACCOUNT_PUBLIC_KEYS, EMPTY_ACCOUNT, FLAG_MODULE_ACCOUNT, account_state_key
from qenex.types import Length
from vm.accounts import LONG_SCHEMES
from vm.registry import QuerySpec

StateKey = Annotated[bytes, Length(2, 512)]

ACCOUNT: Final = shape(
    "AccountState", address=ADDRESS, exists=BOOLEAN, sequence=INTEGER, next_sequence=nullable(INTEGER),
    balance=AMOUNT, public_key=nullable(BYTES), fee_tier=INTEGER, flags=INTEGER, is_module=BOOLEAN,
)  # fmt: skip

PROVED_COST: Final = 10
READ_COST: Final = 1

_AT: Final = Parameter("at", codec_of(At), False, LATEST, 'state after this height, "latest" or "earliest"')
_PROVE: Final = Parameter(
    "prove",
    codec_for(bool),
    False,
    False,
    "answer {value, height, proofs, header, header_hash, commit} instead; the latest provable height is one"
    " below the last block",
)


class StateMethods:
    """Accounts and proofs."""

    def __init__(self, service: NodeService, renderer: Renderer) -> None:
        self._service = service
        self._renderer = renderer

    @method(
        "state_getAccount",
        result={"anyOf": [ACCOUNT, proved(ACCOUNT, "ProvedAccountState")]},
        rest="/accounts/{address}",
        errors=(NotFound, Pruned),
    )
    async def get_account(self, address: Address, at: At = LATEST, prove: bool = False) -> Json:
        """An account: sequence, QXC balance, key. One that does not exist is told as empty.

        `next_sequence` counts the transactions that wait in this node's pool; null for a past height.

        Args:
            address: the account.
            at: state after this height, "latest" or "earliest".
            prove: answer {value, height, proofs, header, header_hash, commit} instead; the latest provable
                height is one below the last block.
        """
        service = self._service
        if not prove:
            return self._account(address, at)
        proof = await service.prove((account_state_key(address),), at)
        return {"value": self._account(address, proof.height), **self._renderer.proofs(proof)}

    def _account(self, address: Address, at: int) -> Json:
        service = self._service
        _, base = service.state_at(at)
        found = base.get(account_state_key(address))
        record = found or EMPTY_ACCOUNT
        key = record.key
        if key and key[0] in LONG_SCHEMES:
            key = base.get(ACCOUNT_PUBLIC_KEYS + key[1:]) or b""
        return {
            "address": encode_address(address, service.prefix),
            "exists": found is not None,
            "sequence": record.sequence,
            "next_sequence": service.next_sequence(address) if at == LATEST else None,
            "balance": str(record.balance),
            "public_key": "0x" + key.hex() if key else None,
            "fee_tier": record.fee_tier,
            "flags": record.flags,
            "is_module": bool(record.flags & FLAG_MODULE_ACCOUNT),
        }

    @method(
        "state_getProof",
        result=STATE_PROOF,
        rest="/state/{key}",
        cost=PROVED_COST,
        errors=(NotFound, Pruned),
    )
    async def get_proof(self, key: StateKey, at: At = LATEST) -> Json:
        """A state entry, or its absence, with its proof and all that is needed to check it.

        The root of the state after `height` stands in the header of `height` + 1, which is `header`;
        `commit` are the precommits that made that header final.

        Args:
            key: module id, collection id and key bytes, as `qenex.state_keys` builds them.
            at: state after this height; "latest" is the newest provable one, one below the last block.
        """
        return self._renderer.state_proof(await self._service.prove((key,), at))


def query_methods(service: NodeService, renderer: Renderer) -> Iterator[Method]:
    """A method for each declared query: `get_balance` of `bank` is `bank_getBalance`."""
    for spec in service.registry.queries.values():
        yield _query_method(spec, service, renderer)


def method_name(module: str, verb: str) -> str:
    """RPC name of a query: `get_balance` of `bank` -> `bank_getBalance`."""
    head, *rest = verb.split("_")
    return f"{module}_{head}{''.join(word.capitalize() for word in rest)}"


def _query_method(spec: QuerySpec, service: NodeService, renderer: Renderer) -> Method:
    name = method_name(spec.module, spec.verb)
    parameters = tuple(
        Parameter(p.name, remembering(p.codec), not p.codec.check_none(), None, p.doc)
        for p in spec.parameters
    )
    names = [parameter.name for parameter in parameters]
    if {"at", "prove"} & set(names):
        raise TypeError(f"{spec.name}: `at` and `prove` belong to every query")
    required = [parameter.name for parameter in parameters if parameter.required]
    schema = spec.result_codec.schema
    title = f"Proved_{name}"
    return Method(
        name,
        spec.doc,
        spec.details if spec.details != spec.doc else "",
        (*parameters, _AT, _PROVE),
        spec.result_codec.name,
        {"anyOf": [schema, proved(schema, title)]},
        _query_handler(spec, service, renderer),
        rest=query_path(spec.module, spec.verb, required),
        cost=READ_COST,
        errors=(NotFound, Pruned),
        names=frozenset([*names, "at", "prove"]),
    )


def _query_handler(spec: QuerySpec, service: NodeService, renderer: Renderer) -> Callable[..., Any]:
    to_json, prefix, name = spec.result_codec.to_json, service.prefix, spec.name
    query = service.query

    async def proved_answer(args: list[Any], at: int) -> Json:
        result, proof = await service.query_proved(name, args, at)
        return {"value": to_json(result, prefix), **renderer.proofs(proof)}

    def handle(*values: Any) -> Json:
        *args, at, prove = values
        if prove:
            return proved_answer(args, at)
        return to_json(query(name, args, at), prefix)

    return handle
