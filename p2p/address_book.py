"""Addresses of nodes that may be worth dialling, kept so that no one can fill the book with his own.

The shape of Bitcoin's (after Heilman et al., Eclipse Attacks on Bitcoin's Peer-to-Peer Network, 2015): addresses that
others told (new) and such that answered (tried), in buckets of fixed size. Which bucket an address may lie in
depends on a secret of this node, on the network group of the address and on the group of who told it. One group
of tellers reaches `NEW_REACH` of the new buckets, the addresses of one group `TRIED_REACH` of the tried ones, however many
they are. The place inside a bucket is fixed by the address as well: what collides is replaced only when it has
failed.

The book is bounded by construction, is saved as a whole, and a file that cannot be read costs the book, not the
node.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Callable, Collection
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from random import Random
from typing import Any, Final

from p2p.addresses import PeerAddress, group_of, ip_of, parse_address
from p2p.identity import write_atomically
from qenex.errors import InvalidPeerAddress

_log = logging.getLogger(__name__)

NEW_BUCKETS: Final = 128
TRIED_BUCKETS: Final = 32
BUCKET_SIZE: Final = 32
NEW_REACH: Final = 8
TRIED_REACH: Final = 4
MAX_FAILURES: Final = 4
"""Failures in a row after which an address may be replaced, and is no longer told to others."""
STALE_SECONDS: Final = 30 * 24 * 3600
MAX_FILE_SIZE: Final = 4 * 1024 * 1024
SCHEMA_VERSION: Final = 1


@dataclass(slots=True)
class Entry:
    """An address and what came of it. Times are seconds since 1970; 0 is never."""

    address: PeerAddress
    source: str
    """Network group of who told it."""
    heard: int
    tried: bool = False
    last_attempt: int = 0
    last_success: int = 0
    failures: int = 0

    @property
    def hopeless(self) -> bool:
        """Whether it failed so often that another may take its place."""
        return self.failures >= MAX_FAILURES


class AddressBook:
    """The book. `clock` gives seconds since 1970; `path` is its file, or None for a book in memory only.

    `local` lets addresses in that the public network does not route: for development networks.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        path: Path | None = None,
        *,
        local: bool = False,
        own_id: str = "",
        secret: bytes | None = None,
        random: Random | None = None,
    ) -> None:
        self._clock = clock
        self._path = path
        self._local = local
        self._own_id = own_id
        self._random = random or secrets.SystemRandom()
        self._secret = secret or secrets.token_bytes(32)
        self._entries: dict[str, Entry] = {}
        self._new: dict[tuple[int, int], str] = {}
        self._tried: dict[tuple[int, int], str] = {}
        self._dirty = False
        if path is not None:
            self._load(path)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, node_id: str) -> bool:
        return node_id in self._entries

    def entry(self, node_id: str) -> Entry | None:
        """What is known of a node."""
        return self._entries.get(node_id)

    def counts(self) -> tuple[int, int]:
        """How many addresses are new, and tried."""
        return len(self._new), len(self._tried)

    # -- places ----------------------------------------------------------------------------

    def _hash(self, *parts: str) -> int:
        data = b"".join([len(part).to_bytes(2, "big") + part.encode() for part in parts])
        return int.from_bytes(blake2b(data, digest_size=8, key=self._secret).digest(), "big")

    def _new_place(self, address: PeerAddress, source: str) -> tuple[int, int]:
        reach = self._hash("reach", group_of(address.host), source) % NEW_REACH
        bucket = self._hash("new", source, str(reach)) % NEW_BUCKETS
        return bucket, self._hash("place", str(bucket), str(address)) % BUCKET_SIZE

    def _tried_place(self, address: PeerAddress) -> tuple[int, int]:
        reach = self._hash("reach", str(address)) % TRIED_REACH
        bucket = self._hash("tried", group_of(address.host), str(reach)) % TRIED_BUCKETS
        return bucket, self._hash("tried place", str(bucket), str(address)) % BUCKET_SIZE

    def _acceptable(self, address: PeerAddress) -> bool:
        ip = ip_of(address.host)
        if ip is None or address.node_id == self._own_id or not 1 <= address.port <= 65_535:
            return False
        if ip.is_unspecified or ip.is_multicast:
            return False
        return self._local or ip.is_global

    # -- learning --------------------------------------------------------------------------

    def add(self, address: PeerAddress, source_host: str) -> bool:
        """An address that somebody at `source_host` told; whether it is now in the book.

        Names are not taken: whoever owns one name has endless others. A known node's address is not changed by
        hearsay, unless the old one has failed.
        """
        if not self._acceptable(address):
            return False
        known = self._entries.get(address.node_id)
        if known is not None:
            if known.address == address:
                known.heard = int(self._clock())
                return True
            if known.tried or not known.hopeless:
                return False
            self._remove(address.node_id)
        source = group_of(source_host)
        place = self._new_place(address, source)
        holder = self._new.get(place)
        if holder is not None:
            other = self._entries[holder]
            if not other.hopeless and self._clock() - other.heard < STALE_SECONDS:
                return False
            self._remove(holder)
        self._entries[address.node_id] = Entry(address, source, int(self._clock()))
        self._new[place] = address.node_id
        self._dirty = True
        return True

    def attempted(self, node_id: str) -> None:
        """An attempt to connect failed."""
        entry = self._entries.get(node_id)
        if entry is not None:
            entry.last_attempt = int(self._clock())
            entry.failures = min(entry.failures + 1, 1_000)
            self._dirty = True

    def succeeded(self, address: PeerAddress) -> None:
        """A handshake with `address`, which this node dialled, succeeded: it belongs among the tried ones."""
        if not self._acceptable(address):
            return
        now = int(self._clock())
        entry = self._entries.get(address.node_id)
        if entry is None or entry.address != address:
            self._remove(address.node_id)
            entry = Entry(address, group_of(address.host), now)
        else:
            self._remove(address.node_id)
        entry.last_attempt = entry.last_success = entry.heard = now
        entry.failures = 0
        place = self._tried_place(address)
        holder = self._tried.get(place)
        if holder is not None:
            other = self._entries[holder]
            if other.failures == 0:
                # The place is held by one that answered last time: this one stays among the new.
                spot = self._new_place(address, entry.source)
                if spot not in self._new:
                    entry.tried = False
                    self._entries[address.node_id] = entry
                    self._new[spot] = address.node_id
                self._dirty = True
                return
            self._remove(holder)
        entry.tried = True
        self._entries[address.node_id] = entry
        self._tried[place] = address.node_id
        self._dirty = True

    def remove(self, node_id: str) -> None:
        """Forget a node: it was banned, or another answered there."""
        self._remove(node_id)
        self._dirty = True

    def _remove(self, node_id: str) -> None:
        entry = self._entries.pop(node_id, None)
        if entry is None:
            return
        table, place = (
            (self._tried, self._tried_place(entry.address))
            if entry.tried
            else (self._new, self._new_place(entry.address, entry.source))
        )
        if table.get(place) == node_id:
            del table[place]

    # -- choosing --------------------------------------------------------------------------

    def pick(self, excluded: Collection[str] = (), groups: Collection[str] = ()) -> PeerAddress | None:
        """An address to dial: as often a tried as a new one, none of `excluded` nodes or network `groups`.

        Buckets are drawn first, so that many addresses in few buckets are no more likely. One that failed lately
        is less likely. None if nothing is left.
        """
        tables = [self._tried, self._new] if self._random.random() < 0.5 else [self._new, self._tried]
        now = self._clock()
        for table in tables:
            buckets: dict[int, list[Entry]] = {}
            for (bucket, _), node_id in table.items():
                entry = self._entries[node_id]
                pause = min(60 << min(entry.failures, 10), 24 * 3600) if entry.failures else 0
                if (
                    node_id not in excluded
                    and now - entry.last_attempt >= pause
                    and group_of(entry.address.host) not in groups
                ):
                    buckets.setdefault(bucket, []).append(entry)
            if buckets:
                return self._random.choice(buckets[self._random.choice(list(buckets))]).address
        return None

    def sample(self, count: int, excluded: Collection[str] = ()) -> list[PeerAddress]:
        """Up to `count` addresses to tell somebody, at most a quarter of the book (at least 8): nobody can read it all."""
        good = [
            entry.address
            for node_id, entry in self._entries.items()
            if node_id not in excluded and not entry.hopeless
        ]
        return self._random.sample(good, min(count, len(good), max(8, len(good) // 4)))

    # -- file ------------------------------------------------------------------------------

    def take_dirty(self) -> bytes | None:
        """The file's bytes if the book changed since the last call, else None."""
        if not self._dirty or self._path is None:
            return None
        self._dirty = False
        rows = [
            [str(e.address), e.source, e.heard, e.tried, e.last_attempt, e.last_success, e.failures]
            for e in self._entries.values()
        ]
        fields = {"schema_version": SCHEMA_VERSION, "secret": self._secret.hex(), "addresses": rows}
        return (json.dumps(fields) + "\n").encode()

    def save(self, data: bytes) -> None:
        """Write what `take_dirty` gave; for a worker thread. A full disk costs the book's news, no more."""
        assert self._path is not None
        try:
            write_atomically(self._path, data, mode=0o600)
        except OSError as error:
            _log.warning("address book not saved: %s", error)

    def _load(self, path: Path) -> None:
        try:
            with path.open("rb") as file:
                data = file.read(MAX_FILE_SIZE + 1)
        except FileNotFoundError:
            return
        except OSError as error:
            _log.warning("address book not read, starting with an empty one: %s", error)
            return
        try:
            if len(data) > MAX_FILE_SIZE:
                raise ValueError("larger than any book")
            self._restore(json.loads(data))
        except (ValueError, KeyError, TypeError, RecursionError, InvalidPeerAddress) as error:
            self._entries, self._new, self._tried = {}, {}, {}
            self._secret = secrets.token_bytes(32)
            _log.warning(
                "address book is damaged, kept aside, starting with an empty one: %s", str(error)[:100]
            )
            try:
                path.replace(path.with_name(path.name + ".damaged"))
            except OSError as failed:
                _log.warning("the damaged address book could not be kept aside: %s", failed)

    def _restore(self, fields: Any) -> None:
        if type(fields) is not dict or fields["schema_version"] != SCHEMA_VERSION:
            raise ValueError("not an address book of this version")
        secret = bytes.fromhex(fields["secret"])
        if len(secret) != 32 or type(fields["addresses"]) is not list:
            raise ValueError("not an address book")
        self._secret = secret
        for row in fields["addresses"]:
            text, source, heard, tried, *counts = row
            if (
                type(text) is not str
                or type(source) is not str
                or type(tried) is not bool
                or len(source) > 300
            ):
                raise ValueError("not an address")
            if len(counts) != 3 or not all(type(n) is int and 0 <= n < 1 << 40 for n in (heard, *counts)):
                raise ValueError("not the counters of an address")
            entry = Entry(parse_address(text), source, heard, tried, *counts)
            table, place = (
                (self._tried, self._tried_place(entry.address))
                if tried
                else (self._new, self._new_place(entry.address, source))
            )
            if (
                self._acceptable(entry.address)
                and place not in table
                and entry.address.node_id not in self._entries
            ):
                table[place] = entry.address.node_id
                self._entries[entry.address.node_id] = entry
