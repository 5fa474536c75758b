"""What every module's face stands on: queries and messages of one module, through the client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias

from qenex.answers import read_answer, write_answer
from qenex.async_sender import AsyncPending, TransactionOptions
from qenex.building import MessageFace, QueryFace, read_arguments
from qenex.jsonrpc import Json
from qenex.money import DecimalsLookup
from qenex.wallet import Wallet

At: TypeAlias = int | str
"""A height, `"latest"` or `"earliest"`."""


class AsyncNodeAccess(Protocol):
    """The part of the client that faces use."""

    @property
    def decimals(self) -> DecimalsLookup | None: ...

    async def call(self, method: str, /, **params: Json) -> Json: ...

    async def address_prefix(self) -> str: ...

    async def send_message(
        self, wallet: Wallet, name: str, arguments: Mapping[str, Any], options: TransactionOptions
    ) -> AsyncPending[Any]: ...


class AsyncModuleFace:
    """Base of the generated faces."""

    def __init__(self, client: AsyncNodeAccess) -> None:
        self._client = client

    async def _query(self, face: QueryFace, arguments: Mapping[str, Any], at: At | None) -> Any:
        """Ask a query. Raises its arguments' and the node's typed errors, or InvalidResponse."""
        prefix = await self._client.address_prefix()
        values = read_arguments(face, arguments, self._client.decimals)
        params = {
            name: write_answer(hint, value, prefix)
            for (name, hint), value in zip(face.parameters, values, strict=True)
            if value is not None
        }
        if at is not None:
            params["at"] = at
        return read_answer(face.result, await self._client.call(face.method, **params), face.method)

    async def _send(
        self, wallet: Wallet, face: MessageFace, arguments: Mapping[str, Any], options: TransactionOptions
    ) -> AsyncPending[Any]:
        return await self._client.send_message(wallet, face.name, arguments, options)
