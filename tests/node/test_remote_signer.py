"""A key in a process of its own: nothing is signed twice, whoever asks; a signer that is away stops signing, not the node."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from consensus.wal import MemoryStorage
from node.bft_alone import Alone
from node.bft_engine import Engine
from node.bft_log import EventLog
from node.bft_options import EngineOptions, Timeouts
from node.bft_pace import Intervals
from node.home import key_file_text
from node.remote_signer import RemoteSigner
from qenex.block import PREVOTE, vote_sign_bytes
from qenex.errors import DoubleSignRefused, SignerStateInvalid, SignerUnavailable
from tests.node.chain_helpers import CHAIN, VALIDATOR, Wallet, make_genesis, open_application, until

A, B = b"a" * 32, b"b" * 32
NOBODY = 65_534


class Signer:
    """`python -m node signer`, started and ended by its id."""

    def __init__(self, folder: Path, repository: Path, *, chain: str = CHAIN) -> None:
        self.address = f"unix:{folder}/signer.sock"
        self._folder = folder
        self._repository = repository
        self._chain = chain
        (folder / "key.json").write_text(key_file_text(VALIDATOR))
        (folder / "key.json").chmod(0o600)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        new = [] if (self._folder / "state.json").exists() else ["--new-state"]
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "node", "signer", "--key", str(self._folder / "key.json")),
                *("--state", str(self._folder / "state.json"), "--chain-id", self._chain),
                *("--listen", self.address, *new),
            ],
            cwd=self._repository,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with contextlib.suppress(SignerUnavailable), contextlib.closing(self.client()) as client:
                client.describe()
                return
            time.sleep(0.02)
        raise AssertionError("the signer does not answer")

    def client(self, **options: float) -> RemoteSigner:
        return RemoteSigner(self.address, chain_id=CHAIN, **options)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def end(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(10)


@pytest.fixture
def process(short_path: Path, repository: Path) -> Iterator[Signer]:
    made = Signer(short_path, repository)
    yield made
    if made.process is not None and made.process.poll() is None:
        made.kill()


@pytest.mark.e2e
def test_it_signs_once_whoever_asks_and_remembers_over_a_kill(process: Signer):
    process.start()
    first, second = process.client(), process.client()
    told = first.describe()
    assert (told.address, told.key) == (VALIDATOR.address, VALIDATOR.key)
    signature = first.sign_prevote(5, 0, A)
    assert VALIDATOR.scheme.verify(VALIDATOR.public_key, vote_sign_bytes(CHAIN, PREVOTE, 5, 0, A), signature)
    assert second.sign_prevote(5, 0, A) == signature, "the stored one: signing anew would differ"
    with pytest.raises(DoubleSignRefused):
        second.sign_prevote(5, 0, B)
    with pytest.raises(DoubleSignRefused):
        second.sign_precommit(4, 9, B)
    process.kill()
    with pytest.raises(SignerUnavailable):
        first.sign_precommit(5, 0, A)
    process.start()
    assert first.sign_prevote(5, 0, A) == signature
    with pytest.raises(DoubleSignRefused):
        first.sign_prevote(5, 0, None)
    first.sign_precommit(5, 0, A)
    first.close()
    second.close()
    assert process.end() == 0
    assert not Path(process.address.removeprefix("unix:")).exists()


@pytest.mark.e2e
def test_a_signer_of_another_chain_is_refused(short_path: Path, repository: Path):
    other = Signer(short_path, repository, chain="other-1")
    with pytest.raises(SignerStateInvalid, match="other-1"):
        other.start()
    other.kill()


@pytest.mark.e2e
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_gets_nothing_signed(process: Signer):
    process.start()
    path = process.address.removeprefix("unix:")
    Path(path).parent.chmod(0o755)
    asked = (
        "import os, sys\n"
        "from node.remote_signer import RemoteSigner\n"
        "from qenex.errors import SignerUnavailable\n"
        f"os.setuid({NOBODY})\n"
        "try: RemoteSigner(sys.argv[1], chain_id='test-1').sign_prevote(5, 0, None)\n"
        "except SignerUnavailable: sys.exit(7)\n"
    )
    for mode in (0o600, 0o666):  # kept out by the file, and by the process where the file is open
        os.chmod(path, mode)
        done = subprocess.run(
            [sys.executable, "-c", asked, process.address], cwd=process._repository, check=False
        )
        assert done.returncode == 7
    assert process.client().describe().height == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_signer_of_another_user_is_not_asked(short_path: Path):
    path = short_path / "signer.sock"
    listener = socket.socket(socket.AF_UNIX)
    child = os.fork()
    if child == 0:  # the kernel tells who listens
        os.setegid(NOBODY)
        short_path.chmod(0o777)
        os.seteuid(NOBODY)
        listener.bind(str(path))
        listener.listen()
        os.write(1, b"")
        time.sleep(30)
        os._exit(0)
    try:
        deadline = time.monotonic() + 10
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.05)
        with pytest.raises(SignerUnavailable, match="another user"):
            RemoteSigner(f"unix:{path}", chain_id=CHAIN).describe()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        listener.close()


def serve_nonsense(path: Path, answer: bytes | None) -> socket.socket:
    """A socket that takes requests and answers with these bytes, or never."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                connection.recv(4_096)
                if answer is not None:
                    connection.sendall(answer)
                    connection.close()
                else:
                    kept.append(connection)

    kept: list[socket.socket] = []
    threading.Thread(target=serve, daemon=True).start()
    return listener


@pytest.mark.parametrize(
    "answer",
    [None, b"", b"\x01", b"\xff\xff\xff\xff", b"\x01\x00\x00\x00\xc0", b"\x03\x00\x00\x00\x93\x00\xa0"],
)
def test_one_that_hangs_or_answers_nonsense_is_away(short_path: Path, answer: bytes | None):
    listener = serve_nonsense(short_path / "s", answer)
    signer = RemoteSigner(f"unix:{short_path}/s", chain_id=CHAIN, timeout=0.2)
    begun = time.monotonic()
    with pytest.raises(SignerUnavailable):
        signer.sign_prevote(1, 0, None)
    assert time.monotonic() - begun < 5
    listener.close()


@pytest.mark.e2e
async def test_a_chain_waits_for_its_signer_and_goes_on(tmp_path: Path, process: Signer):
    await asyncio.to_thread(process.start)
    client = process.client(timeout=0.5)
    told = await asyncio.to_thread(client.describe)
    application = open_application(tmp_path / "data", make_genesis([Wallet(1)]))
    engine = Engine(
        application,
        Alone(),
        EventLog(MemoryStorage()),
        signer=client,
        identity=told,
        options=EngineOptions(Intervals(0.0, 0.02, 0.05), Timeouts(0.3, 0.1, 0.1, 0.1)),
    )
    task = asyncio.create_task(engine.run())
    await until(lambda: application.ledger.durable_height >= 3)
    process.kill()
    await asyncio.sleep(0.5)
    halted = application.ledger.durable_height
    await asyncio.sleep(0.5)
    assert application.ledger.durable_height == halted
    assert not task.done()
    await asyncio.to_thread(process.start)
    await until(lambda: application.ledger.durable_height >= halted + 3)
    engine.stop()
    await task
    client.close()
