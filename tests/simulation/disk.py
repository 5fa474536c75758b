"""A disk that forgets what was not synced: files in memory, with a durable part and a part that a crash may tear."""

from __future__ import annotations

from collections import Counter
from random import Random


class VirtualFile:
    """Appended bytes; `synced` of them are on the disk. What is beyond survives a crash by luck alone."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.synced = 0

    def crash(self, luck: Random, faults: Counter[str]) -> None:
        """Lose some of what was not synced: any number of its last bytes, or keep them with wrong ones at the end."""
        loose = len(self.data) - self.synced
        if loose == 0:
            return
        kept = self.synced + luck.choice((0, luck.randint(0, loose), loose))
        if kept < len(self.data):
            faults["lost write" if kept == self.synced else "torn write"] += 1
            del self.data[kept:]
        elif luck.random() < 0.3:
            # The length reached the disk and the last pages of the contents did not.
            faults["torn write"] += 1
            start = luck.randint(self.synced, len(self.data) - 1)
            self.data[start:] = bytes(len(self.data) - start)
        self.synced = len(self.data)

    def damage(self, luck: Random) -> bool:
        """Turn one bit of what is durable; False if too little is there."""
        if len(self.data) < 16:
            return False
        place = luck.randrange(len(self.data))
        self.data[place] ^= 1 << luck.randrange(8)
        return True


class Disk:
    """The files of one node, by name: the storage that its log is given. They survive the node's process."""

    def __init__(self) -> None:
        self.files: dict[str, VirtualFile] = {}
        self.signer: bytes | None = None
        """The signer's state: replaced as a whole, durable at once."""

    def names(self) -> list[str]:
        """Names of all files."""
        return sorted(self.files)

    def read(self, name: str) -> bytes:
        """Contents; empty if there is no such file."""
        return bytes(self.files[name].data) if name in self.files else b""

    def append(self, name: str, data: bytes) -> None:
        """Write at the end, unsynced."""
        self.files.setdefault(name, VirtualFile()).data.extend(data)

    def sync(self, name: str) -> None:
        """Everything written to the file is safe."""
        file = self.files[name]
        file.synced = len(file.data)

    def truncate(self, name: str, size: int) -> None:
        """Cut, durably."""
        file = self.files[name]
        del file.data[size:]
        file.synced = len(file.data)

    def remove(self, name: str) -> None:
        """Delete, if it exists."""
        self.files.pop(name, None)

    def crash(self, luck: Random, faults: Counter[str]) -> None:
        """The machine stops."""
        for name in sorted(self.files):
            self.files[name].crash(luck, faults)

    def damage(self, luck: Random) -> bool:
        """One bit of the newest file turns; False if there is nothing to turn."""
        return bool(self.files) and self.files[max(self.files)].damage(luck)
