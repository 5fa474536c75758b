"""Follow transfers as they happen, without a gap, also over a node's restart.

    python examples/watch_events.py --event bank. --count 3

Prints one JSON line for each event. The cursor of the last line continues the stream: `--from-cursor`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys

from qenex import AsyncQenexClient, QenexError


async def watch(node: str, event: str, count: int, cursor: str | None) -> None:
    async with (
        AsyncQenexClient(node) as client,
        client.events.subscribe(event=event, from_cursor=cursor) as events,
    ):
        seen = 0
        async for item in events:
            print(json.dumps({"cursor": item.cursor, **item.data}), flush=True)
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
    parser.add_argument("--from-cursor", default=None)
    options = parser.parse_args()
    asyncio.run(watch(options.node, options.event, options.count, options.from_cursor))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
    except QenexError as error:
        sys.exit(f"{error.message}\n{error.hint}")
