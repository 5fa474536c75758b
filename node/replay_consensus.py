"""`python -m node replay-consensus FILE`: give a recording's events to a new core, and compare what comes out."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

from consensus.events import NewHeight
from consensus.replay import Difference, Recording, read_recording, replay
from qenex.errors import QenexError

MAX_SIZE: Final = 4 << 30
"""Bytes of a recording that are read into memory."""
EXIT_SAME, EXIT_DIFFERENT, EXIT_REFUSED = 0, 1, 10
MAX_SHOWN: Final = 10


def describe(recording: Recording, differences: list[Difference]) -> str:
    """The report: what was replayed, and the first steps that came out otherwise."""
    who = "a node that signs nothing" if recording.own_address is None else f"0x{recording.own_address.hex()}"
    heights = [step.event.height for step in recording.steps if isinstance(step.event, NewHeight)]
    reach = f"heights {heights[0]} to {heights[-1]}" if heights else "no height"
    lines = [f"{len(recording.steps)} steps of {who} on {recording.chain_id}, {reach}"]
    if recording.torn:
        lines.append("the recording ends in the middle of a step")
    for difference in differences[:MAX_SHOWN]:
        lines.append(f"step {difference.number}: {difference.event}")
        lines += [f"  recorded {action}" for action in difference.recorded]
        lines += [f"  replayed {action}" for action in difference.replayed]
    lines.append(
        f"{len(differences)} steps came out otherwise" if differences else "the same actions came out"
    )
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    """Entry point; returns the exit code: 0 the same actions, 1 others, 10 the file is no recording."""
    parser = argparse.ArgumentParser(
        prog="python -m node replay-consensus",
        description="Replay a recording of the consensus core and say whether the same actions come out.",
    )
    parser.add_argument("file", type=Path, help="the recording")
    options = parser.parse_args(arguments)
    try:
        if options.file.stat().st_size > MAX_SIZE:
            sys.stderr.write(f"{options.file} is larger than any recording this program reads\n")
            return EXIT_REFUSED
        recording = read_recording(options.file.read_bytes())
    except OSError as error:
        sys.stderr.write(f"{options.file}: {error.strerror}\n")
        return EXIT_REFUSED
    except QenexError as error:
        sys.stderr.write(f"{options.file}: {error.message}\n")
        return EXIT_REFUSED
    differences = replay(recording)
    sys.stdout.write(describe(recording, differences))
    return EXIT_DIFFERENT if differences else EXIT_SAME
