"""The whole RPC of a node: every method in one registry, the documents from it, the server around it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from node.config import Config
from node.rpc.declare import Access, Registry, method, methods_of
from node.rpc.documents import openrpc
from node.rpc.event_methods import ChainFeed, EventMethods
from node.rpc.limits import Limits
from node.rpc.node_methods import ChainMethods, NodeMethods
from node.rpc.render import Renderer
from node.rpc.server import RpcServer, ServerSettings
from node.rpc.state_methods import StateMethods, query_methods
from node.rpc.strict_json import Encoded, Json, dumps
from node.rpc.transaction_methods import TransactionMethods
from node.service import NodeService
from qenex.types import Length


class DiscoverMethods:
    """The description of all methods."""

    def __init__(self, version: str) -> None:
        self._version = version
        self.registry: Registry | None = None
        self._document: Encoded | None = None

    @method("rpc.discover", result={"type": "object", "title": "OpenRPC"}, cost=20)
    def discover(self) -> Json:
        """The OpenRPC document of this node."""
        if self._document is None:
            assert self.registry is not None
            self._document = Encoded(dumps(openrpc(self.registry, self._version)))
        return self._document


class AdminMethods:
    """What only the operator may do. `actions` are given by the node; a missing one is no method."""

    def __init__(self, stop: Callable[[], None], set_log_level: Callable[[str], None]) -> None:
        self._stop = stop
        self._set_log_level = set_log_level

    @method("admin_stop", access=Access.ADMIN)
    def stop(self) -> bool:
        """Stop the node gracefully, after this answer."""
        self._stop()
        return True

    @method("admin_setLogLevel", access=Access.ADMIN)
    def set_log_level(self, level: Annotated[str, Length(1, 16)]) -> bool:
        """Change what is logged, until the node restarts. Raises InvalidConfig for an unknown level.

        Args:
            level: debug, info, warning or error.
        """
        self._set_log_level(level)
        return True


def build_registry(service: NodeService, *more: object) -> Registry:
    """Every method: core namespaces, module queries, and those of `more` (objects with `@method`s)."""
    renderer = Renderer(service)
    discover = DiscoverMethods(service.identity.version)
    groups: list[Any] = [
        discover,
        NodeMethods(service, renderer),
        ChainMethods(service, renderer),
        TransactionMethods(service, renderer),
        StateMethods(service, renderer),
        EventMethods(service, renderer),
        *more,
    ]
    registry = Registry(found for group in groups for found in methods_of(group, service.prefix))
    for found in query_methods(service, renderer):
        registry.add(found)
    discover.registry = registry
    return registry


def build_server(service: NodeService, settings: ServerSettings, *more: object) -> RpcServer:
    """The server over `service`, not listening yet: `await server.start()`, `server.port`, `server.stop()`."""
    registry = build_registry(service, *more)
    feed = ChainFeed(service, Renderer(service))
    return RpcServer(registry, service, feed, service.identity.version, settings, (service.watch,))


def settings_of(config: Config) -> ServerSettings:
    """Server settings from a node's configuration."""
    rpc = config.rpc
    return ServerSettings(
        host=rpc.host,
        port=rpc.port,
        socket_path=config.socket_path,
        token=rpc.admin_token,
        allowed_origins=frozenset(rpc.allowed_origins),
        allowed_hosts=frozenset(name.lower() for name in rpc.allowed_hosts),
        limits=Limits(
            max_request_size=rpc.max_request_kib * 1024,
            max_batch=rpc.max_batch,
            max_connections=rpc.max_connections,
            max_connections_per_address=rpc.max_connections_per_address,
            max_sessions=rpc.max_sessions,
            rate=rpc.rate,
            burst=rpc.burst,
            limit_loopback=rpc.limit_loopback,
        ),
    )
