"""`admin_` methods about the network: who is let in, and experiments with cut connections."""

from __future__ import annotations

from typing import Annotated, Any, Protocol

from node.rpc.declare import Access, method
from node.rpc.render import BOOLEAN, INTEGER, TEXT, TIME, array, shape
from node.rpc.strict_json import Json
from qenex.errors import NotFound
from qenex.types import Between, Length

NodeId = Annotated[str, Length(64, 64)]
BAN = shape("Ban", key=TEXT, until=TIME, reason=TEXT, times=INTEGER)


class Peers(Protocol):
    """What `node.peers.Peers` offers."""

    def add(self, address: str) -> None: ...

    def remove(self, node_id: str) -> bool: ...

    def ban(self, node_id: str, seconds: int) -> None: ...

    def unban(self, node_id: str) -> bool: ...

    def bans(self) -> list[dict[str, Any]]: ...

    def isolate(self, node_ids: tuple[str, ...]) -> list[str]: ...

    @property
    def isolated(self) -> list[str]: ...


class PeerMethods:
    """See the module. Without `peers` the node takes no part in a network, and every method says so."""

    def __init__(self, peers: Peers | None) -> None:
        self._found = peers

    @property
    def _peers(self) -> Peers:
        if self._found is None:
            raise NotFound("this node takes no part in a network", hint="set p2p.enabled and restart it")
        return self._found

    @method("admin_addPeer", access=Access.ADMIN, result=BOOLEAN, errors=(NotFound,))
    def add_peer(self, address: Annotated[str, Length(1, 400)]) -> bool:
        """Dial a node soon, and remember its address.

        Args:
            address: `<node id>@host:port`.
        """
        self._peers.add(address)
        return True

    @method("admin_removePeer", access=Access.ADMIN, result=BOOLEAN, errors=(NotFound,))
    def remove_peer(self, node_id: NodeId) -> bool:
        """End the connection to a peer; whether there was one. A persistent peer is dialled again.

        Args:
            node_id: 64 hexadecimal digits.
        """
        return self._peers.remove(node_id)

    @method("admin_banPeer", access=Access.ADMIN, result=BOOLEAN, errors=(NotFound,))
    def ban_peer(self, node_id: NodeId, seconds: Annotated[int, Between(1, 366 * 24 * 3600)] = 3_600) -> bool:
        """Disconnect a peer, and refuse it for a time.

        Args:
            node_id: 64 hexadecimal digits.
            seconds: how long, at most a year.
        """
        self._peers.ban(node_id, seconds)
        return True

    @method("admin_unbanPeer", access=Access.ADMIN, result=BOOLEAN, errors=(NotFound,))
    def unban_peer(self, node_id: NodeId) -> bool:
        """End the ban of a peer; whether there was one.

        Args:
            node_id: 64 hexadecimal digits.
        """
        return self._peers.unban(node_id)

    @method("admin_bans", access=Access.ADMIN, result=array(BAN), errors=(NotFound,))
    def bans(self) -> Json:
        """The bans in force: node ids, and hosts as `host:...`."""
        return self._peers.bans()

    @method("admin_isolate", access=Access.ADMIN, result=array(TEXT), errors=(NotFound,))
    def isolate(self, node_ids: Annotated[tuple[NodeId, ...], Length(0, 1_000)] = ()) -> Json:
        """Cut the connections to these nodes and refuse them from now on, until the next call or start.

        For experiments. Without any, everything is mended. Returns those that are cut off now.

        Args:
            node_ids: 64 hexadecimal digits each.
        """
        return list(self._peers.isolate(node_ids))

    @method("admin_isolated", access=Access.ADMIN, result=array(TEXT), errors=(NotFound,))
    def isolated(self) -> Json:
        """The nodes that `admin_isolate` cut off."""
        return list(self._peers.isolated)
