"""Follow transfers as they happen, without a gap, also over a node's restart.

    python examples/watch_events.py --event bank. --count 3
    python examples/watch_events.py --event bank. --from-start

Prints one JSON line for each event. The cursor of the last line continues the stream: `--from-cursor`.
Without it the stream begins with the next block; `--from-start` begins with the first block that the node
still keeps. A node that is away is waited for a few seconds; if it stays away the program ends with exit
code 1 and says so, and goes on from the last cursor when it is started with it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys

from qenex import AsyncQenexClient, QenexError


async def watch(node: str, event: str, count: int, cursor: str | None, from_start: bool) -> None:
    async with AsyncQenexClient(node) as client:
        if from_start:
            # A cursor is `height.part.item`: this is the very beginning of the first kept block.
            cursor = f"{(await client.node.status()).earliest_block}.0.0"
        async with client.events.subscribe(event=event, from_cursor=cursor) as events:
            seen = 0
            async for item in events:
                print(json.dumps(item.to_dict()), flush=True)
                seen += 1
                if seen == count:
                    return


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--node", default="http://127.0.0.1:7300")
    parser.add_argument("--event", default="bank.", help="an event's name, or a prefix of names")
    parser.add_argument("--count", type=int, default=0, help="stop after this many events; 0 means never")
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--from-cursor", default=None, help="the cursor of the last line seen")
    start.add_argument("--from-start", action="store_true", help="from the first block the node keeps")
    options = parser.parse_args()
    asyncio.run(watch(options.node, options.event, options.count, options.from_cursor, options.from_start))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
    except QenexError as error:
        sys.exit(f"{error.message}\n{error.hint}")
