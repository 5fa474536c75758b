"""`qenex query`: read the chain."""

from __future__ import annotations

from typing import Any

import click

from cli.app import App, pass_app
from cli.chain import account_of, connected, for_people, names_by_address, parse_at, parse_hash
from cli.home import client_settings
from cli.layout import Style, fields, grouped, of_json, printable, table
from cli.lazy import Command, Group
from cli.output import Result
from qenex.crypto.address import encode_address
from qenex.errors import NotFound, UsageError
from qenex.money import format_amount
from qenex.types import QXC


@click.group(cls=Group)
def query() -> None:
    """Read blocks, accounts, supplies, validators and events."""


def _height(text: str) -> int | str:
    height = parse_at(text)
    assert height is not None
    return height


@query.command("block", cls=Command)
@click.argument("which", default="latest", metavar="[latest|earliest|HEIGHT|HASH]")
@pass_app
def block(app: App, *, which: str) -> Result:
    """Show a block: the latest one, one by its height, or one by its hash."""
    with connected(app) as client:
        if len(which.removeprefix("0x")) == 64:
            found = client.call("chain_getBlockByHash", hash="0x" + parse_hash(which).hex())
        else:
            found = client.call("chain_getBlock", height=_height(which))
    data: dict[str, Any] = found if isinstance(found, dict) else {}

    def text(style: Style) -> str:
        header = data["header"]
        rows = [
            ("height", style.bold(grouped(int(data["height"])))),
            ("hash", str(data["hash"])),
            ("parent", str(header["parent_hash"])),
            ("time", str(header["time"])),
            ("proposer", str(header["proposer"])),
            ("state root", f"{header['state_root']} (after the block before)"),
            ("transactions", str(len(data["transactions"]))),
            ("evidence", str(len(data["evidence"]))),
        ]
        lines = [fields(rows, style)]
        if data["transactions"]:
            found_rows = []
            for item in data["transactions"]:
                form = item.get("transaction") or {}
                names = ", ".join(message["name"] for message in form.get("messages", ())) or "-"
                found_rows.append([str(item["hash"]), names, str(item["size"])])
            lines.append(table(["transaction", "messages", "bytes"], found_rows, style, right=[2]))
        return "\n\n".join(lines)

    return Result(data, text)


@query.command("blocks", cls=Command)
@click.option("--limit", type=click.IntRange(1, 100), default=10, show_default=True)
@click.option("--cursor", metavar="CURSOR", help="`next_cursor` of the page before.")
@pass_app
def blocks(app: App, *, limit: int, cursor: str | None) -> Result:
    """List the newest blocks."""
    with connected(app) as client:
        more = {} if cursor is None else {"cursor": cursor}
        page: Any = client.call("chain_getBlocks", limit=limit, **more)

    def text(style: Style) -> str:
        rows = [[grouped(item["height"]), item["hash"], item["header"]["time"]] for item in page["items"]]
        return table(["height", "hash", "time"], rows, style, right=[0])

    return Result(page, text)


@query.command("account", cls=Command)
@click.argument("account", metavar="NAME_OR_ADDRESS")
@click.option("--at", metavar="HEIGHT", help="State after this height instead of the latest.")
@pass_app
def account(app: App, *, account: str, at: str | None) -> Result:
    """Show an account: sequence, QXC balance, key. Exit code 7 if the chain does not know it."""
    address = account_of(app, account)
    shown = encode_address(address, client_settings(app).address_prefix)
    height = parse_at(at)
    with connected(app) as client:
        params: dict[str, Any] = {"address": shown} if height is None else {"address": shown, "at": height}
        found: Any = client.call("state_getAccount", **params)
    if found.get("exists") is False:
        raise NotFound(
            f"{shown} has no account on this chain yet", hint="it appears with the first coins it gets"
        )
    name = names_by_address(app).get(address)
    data = {**found, "name": name}

    def text(style: Style) -> str:
        key = str(found.get("public_key") or "not registered yet")
        rows = [
            ("address", shown + (f" ({name})" if name else "")),
            ("balance", style.bold(format_amount(int(found["balance"])))),
            ("sequence", f"{found['sequence']} (next free {found['next_sequence']})"),
            ("public key", key if len(key) <= 90 else f"{key[:70]}... ({len(key) // 2 - 1} bytes)"),
        ]
        if found.get("is_module"):
            rows.append(("kind", "a module's account"))
        return fields(rows, style)

    return Result(data, text)


@query.command("supply", cls=Command)
@click.argument("denom", default=QXC)
@pass_app
def supply(app: App, *, denom: str) -> Result:
    """Show how much of DENOM exists (QXC without an argument)."""
    with connected(app) as client:
        amount = client.bank.get_supply(denom)
    return Result({"denom": denom, "amount": str(amount)}, format_amount(amount, denom))


@query.command("validators", cls=Command)
@click.argument("which", default="latest", metavar="[latest|HEIGHT]")
@pass_app
def validators(app: App, *, which: str) -> Result:
    """List the validators of a height, in canonical order."""
    with connected(app) as client:
        found: Any = client.call("chain_getValidators", height=_height(which))

    def text(style: Style) -> str:
        total = sum(item["power"] for item in found["validators"]) or 1
        rows = [
            [item["address"], grouped(item["power"]), f"{100 * item['power'] / total:.2f}%"]
            for item in found["validators"]
        ]
        return f"height {grouped(found['height'])}\n\n" + table(
            ["operator", "power", "share"], rows, style, right=[1, 2]
        )

    return Result(found, text)


@query.command("events", cls=Command)
@click.argument("event", required=False)
@click.option("--account", "who", metavar="NAME_OR_ADDRESS", help="Only events that name this account.")
@click.option("--from-height", type=click.IntRange(0), metavar="HEIGHT")
@click.option("--to-height", type=click.IntRange(0), metavar="HEIGHT")
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True)
@click.option("--cursor", metavar="CURSOR", help="`next_cursor` of the page before.")
@pass_app
def events(
    app: App,
    *,
    event: str | None,
    who: str | None,
    from_height: int | None,
    to_height: int | None,
    limit: int,
    cursor: str | None,
) -> Result:
    """List past events. EVENT is a name or the beginning of one, such as `bank.`."""
    if cursor is not None and from_height is not None:
        raise UsageError("either --cursor or --from-height says where to begin")
    params: dict[str, Any] = {
        "event": event,
        "from_height": from_height,
        "to_height": to_height,
        "limit": limit,
    }
    params["cursor"] = cursor
    if who is not None:
        params["address"] = encode_address(account_of(app, who), client_settings(app).address_prefix)
    with connected(app) as client:
        page: Any = client.call(
            "events_query", **{name: value for name, value in params.items() if value is not None}
        )

    def text(style: Style) -> str:
        lines = []
        for item in page["items"]:
            head = f"{style.dim(grouped(item['height']).rjust(8))}  {style.bold(printable(item['name']))}"
            lines.append(head + "\n" + of_json(for_people(app, item["fields"]), style, depth=5))
        if page["next_cursor"]:
            lines.append(style.dim(f"more: --cursor {printable(page['next_cursor'])}"))
        return "\n".join(lines) or "No events."

    return Result(page, text)


@query.command("status", cls=Command)
@pass_app
def status(app: App) -> Result:
    """Show the node's chain, version, height and pool."""
    with connected(app) as client:
        info: Any = client.call("node_info")
        now: Any = client.call("node_status")
        url = client.url
    data = {"node": url, "info": info, "status": now}

    def text(style: Style) -> str:
        state = style.green("ready") if not now["not_ready"] else style.yellow(printable(now["not_ready"]))
        signing = str(now.get("not_signing") or "")  # a node of another version may not tell
        rows = [
            ("node", f"{printable(info['name'])} at {url}, version {printable(info['version'])}"),
            ("chain", style.bold(printable(info["chain_id"]))),
            ("state", state),
            *([("signing", style.yellow(printable(signing)))] if signing else []),
            ("height", grouped(now["height"])),
            ("block", f"{now['block_hash']}"),
            ("time", now["block_time"]),
            ("state root", now["state_root"]),
            ("peers", str(now["peers"])),
            ("waiting", f"{now['mempool']['count']} transactions, {grouped(now['mempool']['bytes'])} bytes"),
            ("price", f"{now['price']} base units a gas"),
            ("modules", ", ".join(info["modules"])),
        ]
        return fields(rows, style)

    return Result(data, text, {"chain_id": info["chain_id"]})


def _plain(name: str, method: str, help_text: str, *, with_height: bool = False) -> None:
    """Add a command that shows what one RPC method answers."""

    def command(app: App, which: str = "latest") -> Result:
        params: dict[str, Any] = {"height": _height(which)} if with_height else {}
        with connected(app) as client:
            found = client.call(method, **params)
        return Result(found, lambda style: of_json(for_people(app, found), style))

    decorated: Any = pass_app(command)
    if with_height:
        decorated = click.argument("which", default="latest", metavar="[latest|HEIGHT]")(decorated)
    query.command(name, cls=Command, help=help_text)(decorated)


_plain("header", "chain_getHeader", "Show a block's header and hash.", with_height=True)
_plain("commit", "chain_getCommit", "Show the precommits that made a block final.", with_height=True)
_plain("genesis", "chain_getGenesis", "Show the genesis and its hash.")
_plain("mempool", "mempool_status", "Show how many transactions wait.")
_plain("peers", "node_peers", "List the node's peers.")
