"""Every method by name, on a real chain in memory; every answer fits its declared schema."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.events import Cursor
from node.rpc.event_methods import ChainFeed
from node.rpc.render import Renderer
from node.service import MAX_PROVED_KEYS
from node.simulation import GAS_MARGIN_PERCENT
from node.steps import run
from qenex.block import HEADER, block_hash, validators_root
from qenex.codec import codec_for
from qenex.crypto.address import Address, encode_address
from qenex.errors import REGISTRY, LimitExceeded, OutcomeUnknown
from qenex.proof import proof_from_json, verify_absence, verify_list_proof, verify_membership
from qenex.state_keys import account_state_key, balance_state_key
from qenex.transaction import Fee, Message, Signer, decode_transaction
from qenex.types import Coin
from tests.node.rpc.chain_helpers import (
    ALICE,
    BOB,
    CAROL,
    CHAIN_ID,
    QXC_EACH,
    VALIDATOR_KEY,
    TestChain,
    text,
)

NOBODY = "0x" + "00" * 32


@pytest.fixture
def chain() -> TestChain:
    return TestChain()


def hexed(data: bytes) -> str:
    return "0x" + data.hex()


# -- the node and the chain -------------------------------------------------------------------------


async def test_node_info_names_chain_and_modules(chain):
    info = await chain.call("node_info")
    assert info["chain_id"] == CHAIN_ID
    assert info["modules"] == ["machine", "accounts", "bank", "tokens"]
    assert info["validator_address"] == text(VALIDATOR_KEY)
    assert info["genesis_hash"] == hexed(chain.ledger.genesis_hash)


async def test_node_status_before_and_after_the_first_block(chain):
    assert (await chain.call("node_status"))["height"] == 0
    await chain.send()
    assert (await chain.call("node_status"))["mempool"]["count"] == 1
    chain.mine()
    status = await chain.call("node_status")
    assert status["height"] == 1
    assert status["mempool"]["count"] == 0
    assert status["state_root"] == hexed(chain.ledger.tree_root)


async def test_node_health_and_peers(chain):
    assert await chain.call("node_health") == {"ready": True, "reason": ""}
    chain.reason = "syncing: 5 of 10"
    assert (await chain.call("node_health"))["ready"] is False
    assert (await chain.call("node_status"))["syncing"] is True
    assert await chain.call("node_peers") == []


async def test_mempool_status_counts_what_waits(chain):
    await chain.send()
    await chain.send()
    status = await chain.call("mempool_status")
    assert (status["count"], status["senders"]) == (2, 1)
    assert status["bytes"] > 200


async def test_blocks_by_height_label_and_hash(chain):
    tx_hash = await chain.send()
    chain.mine(3)
    block = await chain.call("chain_getBlock", height=1)
    assert [tx["hash"] for tx in block["transactions"]] == [tx_hash]
    assert block["transactions"][0]["transaction"]["messages"][0]["name"] == "bank.send"
    assert block["commit"] is None
    assert await chain.call("chain_getBlockByHash", hash=block["hash"]) == block
    assert await chain.call("chain_getBlock", height="earliest") == block
    latest = await chain.call("chain_getBlock")
    assert latest["height"] == 3
    assert latest["commit"]["height"] == 2


async def test_a_header_hashes_to_its_hash_and_names_its_parent(chain):
    chain.mine(3)
    answers = [await chain.call("chain_getHeader", height=height) for height in (1, 2, 3)]
    headers = [HEADER.from_json(answer["header"]) for answer in answers]
    assert [hexed(block_hash(header)) for header in headers] == [answer["hash"] for answer in answers]
    assert [hexed(header.parent_hash) for header in headers[1:]] == [answer["hash"] for answer in answers[:2]]


async def test_blocks_are_listed_newest_first_page_by_page(chain):
    chain.mine(5)
    first = await chain.call("chain_getBlocks", limit=3)
    assert [item["height"] for item in first["items"]] == [5, 4, 3]
    second = await chain.call("chain_getBlocks", limit=3, cursor=first["next_cursor"])
    assert [item["height"] for item in second["items"]] == [2, 1]
    assert second["next_cursor"] is None
    assert (await chain.error("chain_getBlocks", cursor="x"))["code"] == -32602


async def test_commits_and_validators_belong_to_the_header(chain):
    chain.mine(4)
    for height in (1, 2, 4):
        header = HEADER.from_json((await chain.call("chain_getHeader", height=height))["header"])
        answer = await chain.call("chain_getValidators", height=height)
        validators = [codec_for(type(v)).from_json(j) for v, j in
                      zip(chain.machine.validators(chain.ledger.committed), answer["validators"])]  # fmt: skip
        assert validators_root(validators) == header.validators_hash
        commit = await chain.call("chain_getCommit", height=height)
        assert commit["block_hash"] == hexed(block_hash(header))


async def test_the_genesis_hashes_to_its_hash(chain):
    answer = await chain.call("chain_getGenesis")
    again = type(chain.ledger.genesis).from_json(json.dumps(answer["genesis"]))
    assert hexed(again.hash) == answer["hash"]


@pytest.mark.parametrize(
    "name", ["chain_getBlock", "chain_getHeader", "chain_getCommit", "chain_getValidators"]
)
async def test_heights_that_do_not_exist_are_not_found(chain, name):
    assert (await chain.error(name))["code"] == -32001
    chain.mine(2)
    for height in (0, 3, 2**62):
        assert (await chain.error(name, height=height))["code"] == -32001
    assert (await chain.error(name, height=-1))["code"] == -32602


async def test_pruned_blocks_are_told_as_pruned_and_headers_stay():
    chain = TestChain(history=3, retain_blocks=3)
    chain.mine(50)
    while chain.ledger.prune(1_000) == 1_000:
        pass
    assert (await chain.error("chain_getBlock", height=2))["code"] == -32010
    assert (await chain.call("chain_getHeader", height=2))["height"] == 2
    assert (await chain.call("chain_getBlock", height="earliest"))["height"] == 48
    assert (await chain.error("bank_getSupply", denom="QXC", at=2))["code"] == -32010
    assert (await chain.error("events_query", from_height=1))["code"] == -32010
    assert (await chain.call("events_query"))["items"] == []
    assert (await chain.error("state_getProof", key="0x0101", at=2))["code"] == -32010


# -- transactions ------------------------------------------------------------------------------------


async def test_a_transaction_is_pending_then_included_with_its_receipt(chain):
    tx_hash = await chain.send(ALICE, BOB, 7)
    pending = await chain.call("tx_get", hash=tx_hash)
    assert (pending["state"], pending["height"], pending["receipt"]) == ("pending", None, None)
    chain.mine()
    found = await chain.call("tx_get", hash=tx_hash)
    assert (found["state"], found["height"], found["index"]) == ("included", 1, 0)
    assert found["receipt"]["status"] == 0
    assert found["receipt"]["error"] is None
    assert found["receipt"]["results"] == [{"denom": "QXC", "amount": "7"}]
    assert found["receipt"]["events"][0]["fields"]["recipient"] == text(BOB)
    assert (await chain.call("bank_getBalance", address=text(BOB), denom="QXC")) == str(QXC_EACH + 7)


async def test_an_unknown_transaction_is_not_found(chain):
    assert (await chain.error("tx_get", hash=NOBODY))["code"] == -32001
    assert (await chain.error("tx_get", hash="0x00"))["code"] == -32602


async def test_a_receipt_is_proved_under_the_next_header(chain):
    hashes = [await chain.send(amount=amount) for amount in (1, 2, 3)]
    chain.mine()
    assert (await chain.error("tx_get", hash=hashes[1], prove=True))["code"] == -32001
    chain.mine()
    proof = (await chain.call("tx_get", hash=hashes[1], prove=True))["proof"]
    header = HEADER.from_json(proof["header"])
    assert header.height == 2
    siblings = [bytes.fromhex(sibling[2:]) for sibling in proof["proof"]]
    receipt = bytes.fromhex(proof["receipt"][2:])
    verify_list_proof(header.results_root, receipt, proof["index"], proof["count"], siblings)
    assert hashes[1][2:] in proof["receipt"]


async def test_a_failed_transaction_is_included_with_a_named_error_and_pays(chain):
    before = chain.balance(ALICE.address)
    tx_hash = await chain.send(ALICE, BOB, 501, denom="tokens/gold")
    chain.mine()
    receipt = (await chain.call("tx_get", hash=tx_hash))["receipt"]
    assert receipt["error"]["name"] == "insufficient_balance"
    assert receipt["status"] == receipt["error"]["code"] == 3200
    assert receipt["results"] == receipt["events"] == []
    assert before - chain.balance(ALICE.address) == int(receipt["fee"]) > 0


async def test_the_json_form_is_submitted_like_the_bytes(chain):
    raw = chain.signed()
    form = (await chain.call("tx_decode", transaction=hexed(raw)))["transaction"]
    answer = await chain.call("tx_submit", transaction=form)
    assert answer["hash"] == hexed(decode_transaction(raw).tx_id)
    assert answer["valid_until"] == 100


async def test_tx_decode_reads_all_forms_of_one_transaction(chain):
    raw, body = chain.signed(), chain.body()
    signed, unsigned = [await chain.call("tx_decode", transaction=hexed(data)) for data in (raw, body)]
    assert signed["hash"] == unsigned["hash"]
    assert unsigned["transaction"]["signatures"] == []
    again = await chain.call("tx_decode", transaction=signed["transaction"])
    assert again == signed


async def test_submit_and_wait_answers_at_inclusion(chain):
    waiting = asyncio.create_task(chain.call("tx_submitAndWait", transaction=hexed(chain.signed())))
    while not len(chain.app.mempool):  # noqa: ASYNC110  # a few turns of the loop, no waiting for time
        await asyncio.sleep(0)
    chain.mine()
    assert (await waiting)["receipt"]["status"] == 0
    assert chain.service._waiters == {}


async def test_submit_and_wait_tells_after_its_deadline_what_may_still_happen(chain):
    error = await chain.error("tx_submitAndWait", transaction=hexed(chain.signed()), timeout_ms=1)
    assert (error["code"], error["data"]["name"]) == (OutcomeUnknown.code, "outcome_unknown")
    assert error["data"]["valid_until"] == 100
    assert error["data"]["height"] == 0
    chain.mine()
    assert (await chain.call("tx_get", hash=error["data"]["hash"]))["state"] == "included"


async def test_submit_and_wait_tells_when_the_transaction_can_no_longer_come(chain):
    raw = chain.signed(valid_until=1)
    waiting = asyncio.create_task(chain.error("tx_submitAndWait", transaction=hexed(raw)))
    while not len(chain.app.mempool):  # noqa: ASYNC110  # a few turns of the loop, no waiting for time
        await asyncio.sleep(0)
    chain.app.mempool.remove(decode_transaction(raw).tx_id)
    chain.mine()
    assert (await waiting)["data"]["name"] == "transaction_expired"


async def test_a_transaction_in_the_block_being_written_is_waited_for(chain):
    tx_hash = await chain.send()
    proposal = chain.app.prepare_proposal(chain.app.parent_time + 1, VALIDATOR_KEY.address)
    chain.app.finalize_block(proposal.block)
    pending = chain.app.commit_begin(proposal.block, chain._commit(1, proposal.hash))
    assert (await chain.call("node_status"))["height"] == 0  # not on disk: nobody is told of it
    assert await chain.call("bank_getBalance", address=text(ALICE), denom="QXC") == str(QXC_EACH)
    assert (await chain.call("state_getAccount", address=text(ALICE)))["next_sequence"] == 1
    asked = asyncio.create_task(chain.call("tx_get", hash=tx_hash))
    await asyncio.sleep(0)
    chain.ledger.write(pending.staged)
    chain.app.commit_end(pending)
    assert (await asked)["state"] == "included"
    assert (await chain.call("node_status"))["height"] == 1


# -- simulation and fees -------------------------------------------------------------------------------


async def test_a_simulation_tells_the_receipt_and_changes_nothing(chain):
    chain.mine()
    root = chain.ledger.tree_root
    receipt = await chain.call("tx_simulate", transaction=hexed(chain.body()))
    assert receipt["status"] == 0
    assert receipt["events"][0]["name"] == "bank.transferred"
    chain.mine()
    assert chain.ledger.tree_root == root


async def test_a_simulation_tells_what_changes_in_the_signers_balances_whatever_the_message_calls_it(chain):
    """Lesson: a preview by transfer events alone showed a payment to many as costing nothing but the fee."""
    sender = encode_address(ALICE.address)
    plain = await chain.call("tx_simulate", transaction=hexed(chain.body(amount=7)))
    assert plain["balance_changes"] == [{"address": sender, "denom": "QXC", "change": "-7"}]
    paid = ((BOB.address, ("QXC", 5)), (BOB.address, ("QXC", 6)))
    body = chain.body(messages=[Message("tokens.multi_send", (paid,), 0)])
    many = await chain.call("tx_simulate", transaction=hexed(body))
    assert (many["status"], many["balance_changes"]) == (
        0,
        [{"address": sender, "denom": "QXC", "change": "-11"}],
    )
    made = Message("tokens.create", ("GOLD", "", 0, "", 50, None, None), 0)
    minted = await chain.call("tx_simulate", transaction=hexed(chain.body(messages=[made])))
    (change,) = minted["balance_changes"]
    assert (change["address"], change["change"]) == (sender, "50")
    assert change["denom"].startswith("tokens/")
    failed = await chain.call("tx_simulate", transaction=hexed(chain.body(amount=QXC_EACH * 2)))
    assert (failed["status"], failed["balance_changes"]) == (3200, [])


async def test_a_simulation_takes_signed_bytes_and_json_too(chain):
    raw = chain.signed()
    form = (await chain.call("tx_decode", transaction=hexed(raw)))["transaction"]
    by_bytes = await chain.call("tx_simulate", transaction=hexed(raw))
    assert by_bytes == await chain.call("tx_simulate", transaction=form)


async def test_a_simulation_counts_the_senders_waiting_transactions(chain):
    await chain.send()
    chain.mine()
    await chain.send()
    body = chain.body()
    assert chain.service.next_sequence(ALICE.address) == 2
    assert (await chain.call("tx_simulate", transaction=hexed(body)))["status"] == 0
    assert (await chain.error("tx_simulate", transaction=hexed(chain.body(sequence=3))))["code"] == 1011


async def test_zero_and_too_large_transfers_are_told_by_name_before_signing(chain):
    zero = await chain.call("tx_simulate", transaction=hexed(chain.body(amount=0)))
    assert zero["error"]["name"] == "amount_not_positive"
    much = await chain.call("tx_simulate", transaction=hexed(chain.body(amount=QXC_EACH * 2)))
    assert much["error"]["name"] == "insufficient_balance"


async def test_an_estimate_is_enough_and_not_far_off(chain):
    body = chain.body(fee=Fee(0, 0, 0))
    estimate = await chain.call("tx_estimateFee", transaction=hexed(body))
    fee = Fee(int(estimate["max"]), estimate["gas_limit"], 0)
    tx_hash = await chain.send(fee=fee)
    chain.mine()
    receipt = (await chain.call("tx_get", hash=tx_hash))["receipt"]
    assert receipt["status"] == 0
    # A few bytes more: the fee it was simulated with has longer numbers than the one that will do.
    assert 0 <= estimate["gas_used"] - receipt["gas_used"] <= 8
    assert estimate["gas_limit"] == -(-estimate["gas_used"] * GAS_MARGIN_PERCENT // 100)


async def test_an_estimate_of_what_would_fail_is_that_error(chain):
    error = await chain.error("tx_estimateFee", transaction=hexed(chain.body(amount=0)))
    assert error["data"]["name"] == "amount_not_positive"
    assert (await chain.error("tx_estimateFee", transaction=hexed(chain.body(CAROL))))["code"] == 1031


async def test_simulations_and_scans_are_paid_by_their_size(chain):
    owed: list[int] = []
    chain.caller.owe = owed.append
    many = [Message("bank.send", (BOB.address, Coin("QXC", 1)), 0)] * 50
    body = chain.body(messages=many, fee=Fee(10**9, 400_000, 0))
    gas = (await chain.call("tx_simulate", transaction=hexed(body)))["gas_used"]
    await chain.call("tx_estimateFee", transaction=hexed(body))
    failing = chain.body(messages=[*many, Message("bank.send", (BOB.address, Coin("QXC", 0)), 0)])
    await chain.error("tx_estimateFee", transaction=hexed(failing))
    assert owed[:2] == [gas // 1_000] * 2
    assert owed[2] >= gas // 1_000 > 5
    chain.mine(20)
    await chain.call("events_query")
    assert owed[3] >= 20 // 5


# -- bad input, by name -----------------------------------------------------------------------------------


def _with(chain: TestChain, **changes: Any) -> str:
    return hexed(chain.signed(**changes))


def _tampered(chain: TestChain) -> str:
    raw = bytearray(chain.signed())
    raw[-1] ^= 1
    return hexed(bytes(raw))


BAD_TRANSACTIONS: dict[str, Any] = {
    "wrong_chain_id": lambda c: _with(c, chain_id="other-chain"),
    "wrong_sequence": lambda c: _with(c, sequence=5, public_key=ALICE.public_key),
    "expired": lambda c: _with(c, valid_until=0),
    "invalid_valid_until": lambda c: _with(c, valid_until=10_002),
    "insufficient_fee": lambda c: _with(c, fee=Fee(1, 20_000, 0)),
    "insufficient_funds": lambda c: _with(c, fee=Fee(QXC_EACH + 1, 20_000, 0)),
    "gas_limit_too_low": lambda c: _with(c, fee=Fee(10**7, 1, 0)),
    "gas_limit_too_high": lambda c: _with(c, fee=Fee(10**12, 10**11, 0)),
    "public_key_missing": lambda c: _with(c, public_key=None),
    "public_key_mismatch": lambda c: _with(c, public_key=BOB.public_key),
    "account_not_found": lambda c: hexed(c.signed(CAROL)),
    "unknown_message": lambda c: _with(c, messages=[Message("bank.steal", (), 0)]),
    "invalid_arguments": lambda c: _with(c, messages=[Message("bank.send", (1, 2), 0)]),
    "unused_signer": lambda c: hexed(c.body(messages=[Message("bank.send", (BOB.address, Coin("QXC", 1)), 3)])),
    "invalid_signature": _tampered,
    "malformed_bytes": lambda c: "0x00",
    "too_large": lambda c: "0x" + "00" * 70_000,
    "wrong_signature_count": lambda c: _without_signature(c),
    "scoped_key_not_found": lambda c: _with(
        c, signers=[Signer(ALICE.address, 0, ALICE.public_key, 1)]
    ),
}  # fmt: skip


def _without_signature(chain: TestChain) -> str:
    body = chain.body()
    return hexed(b"\x92\xc4" + bytes([len(body)]) + body + b"\x90")


@pytest.mark.parametrize("name", sorted(BAD_TRANSACTIONS))
async def test_a_bad_transaction_is_refused_by_name_with_a_hint(chain, name):
    given_form = BAD_TRANSACTIONS[name](chain)
    error = await chain.error("tx_submit", transaction=given_form)
    expected = "malformed_bytes" if name == "unused_signer" else name  # a body alone is no signed transaction
    assert error["data"]["name"] == expected
    assert error["data"]["hint"]
    assert 1000 <= error["code"] < 2000
    assert len(chain.app.mempool) == 0


async def test_a_replay_is_refused_pending_and_included(chain):
    raw = hexed(chain.signed())
    await chain.call("tx_submit", transaction=raw)
    assert (await chain.error("tx_submit", transaction=raw))["data"]["name"] == "already_known"
    chain.mine()
    assert (await chain.error("tx_submit", transaction=raw))["data"]["name"] in (
        "already_known",
        "wrong_sequence",
    )


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"extra": 1}, "malformed_bytes"),
        ({"messages": 5}, "malformed_bytes"),
        ({"messages": [{"name": "bank.send", "args": {"to": "x"}}]}, "invalid_arguments"),
        ({"messages": [{"name": "bank.send", "args": {}, "more": 1}]}, "malformed_bytes"),
        ({"messages": [{"name": "nope.nope", "args": {}}]}, "unknown_message"),
        ({"valid_until": "10"}, "malformed_bytes"),
        ({"valid_until": 10**400}, "malformed_bytes"),
        ({"fee": {"max": 5, "gas_limit": 1, "tip": "0"}}, "malformed_bytes"),
        ({"fee": {"max": "-5", "gas_limit": 1, "tip": "0"}}, "malformed_bytes"),
        ({"fee": {"max": "1.5", "gas_limit": 1, "tip": "0"}}, "malformed_bytes"),
        ({"signers": []}, "malformed_bytes"),
        ({"signers": [5]}, "malformed_bytes"),
        ({"signatures": []}, "invalid_params"),
        ({"signatures": ["0x0g"]}, "malformed_bytes"),
        ({"signatures": [5]}, "malformed_bytes"),
        ({"memo": "\ud800"}, "malformed_bytes"),
        ({"memo": "x" * 300}, "too_large"),
        ({"lease": "0x00"}, "malformed_bytes"),
    ],
)
async def test_a_bad_json_form_is_refused_by_name(chain, change, name):
    form = (await chain.call("tx_decode", transaction=hexed(chain.signed())))["transaction"]
    error = await chain.error("tx_submit", transaction={**form, **change})
    assert error["data"]["name"] == name


async def test_a_wrong_address_inside_a_form_keeps_its_name(chain):
    form = (await chain.call("tx_decode", transaction=hexed(chain.signed())))["transaction"]
    form["messages"][0]["args"]["to"] = text(BOB)[:-1] + ("q" if text(BOB)[-1] != "q" else "p")
    assert (await chain.error("tx_submit", transaction=form))["data"]["name"] == "invalid_address"


FORM_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=12)
    | st.sampled_from(["0x", "0x00", text(BOB), "5"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "args", "signer", "$", "to", "amount", "address"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)
SHARED = TestChain()
SHARED_BYTES = (SHARED.signed(), SHARED.body())
TRANSACTION_METHODS = ["tx_submit", "tx_simulate", "tx_estimateFee", "tx_decode"]


@given(
    st.sampled_from(TRANSACTION_METHODS),
    st.sampled_from(
        ["chain_id", "signers", "messages", "fee", "valid_until", "lease", "memo", "signatures", "x"]
    ),
    FORM_VALUES,
)
async def test_any_damage_to_a_form_gets_a_typed_answer(name, part, value):
    form = (await SHARED.call("tx_decode", transaction=hexed(SHARED_BYTES[0])))["transaction"]
    answer = await SHARED.answer(name, {"transaction": {**form, part: value}})
    if "error" in answer:
        assert answer["error"]["code"] in REGISTRY
        assert answer["error"]["code"] != -32603


@given(st.sampled_from(TRANSACTION_METHODS), st.data())
async def test_any_damage_to_the_bytes_gets_a_typed_answer(name, data):
    raw = bytearray(data.draw(st.sampled_from(SHARED_BYTES)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    answer = await SHARED.answer(name, {"transaction": hexed(bytes(raw))})
    if "error" in answer:
        assert answer["error"]["code"] in REGISTRY
        assert answer["error"]["code"] != -32603


PARAMETER_VALUES = FORM_VALUES | st.sampled_from(["latest", "earliest", "QXC", NOBODY, 0, 1, 2**64, 10**80])


@settings(max_examples=30)
@given(st.data())
async def test_any_parameters_of_any_method_get_a_typed_answer(data):
    for name, declared in SHARED.dispatcher.registry.methods.items():
        if name == "tx_submitAndWait":
            continue
        params = {
            parameter.name: data.draw(PARAMETER_VALUES)
            for parameter in declared.parameters
            if parameter.required or data.draw(st.booleans())
        }
        answer = await SHARED.answer(name, params)
        if "error" in answer:
            assert answer["error"]["code"] in REGISTRY, name
            assert answer["error"]["code"] != -32603, name


# -- state ---------------------------------------------------------------------------------------------------


async def test_an_account_is_told_with_its_key_once_it_signed(chain):
    fresh = await chain.call("state_getAccount", address=text(ALICE))
    assert (fresh["exists"], fresh["sequence"], fresh["public_key"]) == (True, 0, None)
    await chain.send()
    assert (await chain.call("state_getAccount", address=text(ALICE)))["next_sequence"] == 1
    chain.mine()
    account = await chain.call("state_getAccount", address=text(ALICE))
    assert (account["sequence"], account["public_key"]) == (1, hexed(ALICE.public_key))
    past = await chain.call("state_getAccount", address=text(ALICE), at="earliest")
    assert (past["sequence"], past["next_sequence"]) == (0, None)


async def test_an_account_that_does_not_exist_is_empty(chain):
    account = await chain.call("state_getAccount", address=text(CAROL))
    assert (account["exists"], account["balance"], account["sequence"]) == (False, "0", 0)


async def test_reads_of_past_heights(chain):
    for amount in (1, 10, 100):
        await chain.send(amount=amount)
        chain.mine()
    told = [int(await chain.call("bank_getBalance", address=text(BOB), denom="QXC", at=at)) - QXC_EACH
            for at in (0, 1, 2, 3, "latest", "earliest")]  # fmt: skip
    assert told == [0, 1, 11, 111, 111, 0]
    assert (await chain.error("bank_getBalance", address=text(BOB), denom="QXC", at=4))["code"] == -32001


def check_proof(answer: dict[str, Any], entry: dict[str, Any]) -> bytes | None:
    """Verify an entry with what the answer holds alone; its encoded value."""
    header = HEADER.from_json(answer["header"])
    assert hexed(block_hash(header)) == answer["header_hash"]
    assert header.height == answer["height"] + 1
    assert answer["commit"]["block_hash"] == answer["header_hash"]
    key, proof = bytes.fromhex(entry["key"][2:]), proof_from_json(entry["proof"])
    if entry["value"] is None:
        verify_absence(header.state_root, key, proof)
        return None
    value = bytes.fromhex(entry["value"][2:])
    verify_membership(header.state_root, key, value, proof)
    return value


async def test_a_proof_verifies_against_the_next_header_alone(chain):
    await chain.send(amount=7)
    chain.mine(2)
    key = account_state_key(BOB.address)
    answer = await chain.call("state_getProof", key=hexed(key), at=1)
    assert answer["key"] == hexed(key)
    value = check_proof(answer, answer)
    assert value is not None
    assert hex(QXC_EACH + 7)[2:] in value.hex()
    nobody = await chain.call("state_getProof", key=hexed(account_state_key(CAROL.address)))
    assert check_proof(nobody, nobody) is None


async def test_the_last_block_is_not_provable_until_the_next(chain):
    key = hexed(account_state_key(BOB.address))
    for at in ("latest", "earliest", 0, 1):
        assert (await chain.error("state_getProof", key=key, at=at))["code"] == -32001
    chain.mine()
    for at in ("latest", 0, 1):
        assert (await chain.error("state_getProof", key=key, at=at))["code"] == -32001
    chain.mine()
    assert (await chain.call("state_getProof", key=key))["height"] == 1
    assert (await chain.error("state_getProof", key=key, at=0))["code"] == -32001  # genesis: no header has it
    assert (await chain.error("state_getProof", key=key, at=2))["code"] == -32001


async def test_any_query_is_proved_by_the_entries_it_read(chain):
    await chain.send(amount=7)
    chain.mine(2)
    for params in ({"address": text(BOB), "denom": "QXC"}, {"address": text(BOB), "denom": "tokens/gold"},
                   {"address": text(CAROL), "denom": "tokens/gold"}):  # fmt: skip
        answer = await chain.call("bank_getBalance", **params, prove=True)
        assert answer["value"] == await chain.call("bank_getBalance", **params)
        assert answer["proofs"]
        for entry in answer["proofs"]:
            check_proof(answer, entry)
    account = await chain.call("state_getAccount", address=text(BOB), prove=True)
    assert account["value"]["balance"] == str(QXC_EACH + 7)
    check_proof(account, account["proofs"][0])
    keys = [
        entry["key"]
        for entry in (
            await chain.call("bank_getBalance", address=text(BOB), denom="tokens/gold", prove=True)
        )["proofs"]
    ]
    assert hexed(balance_state_key(BOB.address, "tokens/gold")) in keys


async def test_lists_are_not_proved(chain):
    chain.mine(2)
    error = await chain.error("bank_getBalances", address=text(BOB), prove=True)
    assert error["data"]["name"] == "invalid_params"


async def test_proofs_are_bounded_in_number(chain):
    chain.mine(2)
    with pytest.raises(LimitExceeded, match="at most"):
        await chain.service.prove(
            [account_state_key(Address(bytes([n]) * 32)) for n in range(MAX_PROVED_KEYS + 1)]
        )


async def test_bank_balances_and_supply(chain):
    page = await chain.call("bank_getBalances", address=text(BOB))
    assert page["items"] == [
        {"denom": "QXC", "amount": str(QXC_EACH)},
        {"denom": "tokens/gold", "amount": "500"},
    ]
    assert await chain.call("bank_getSupply", denom="tokens/gold") == "1000"
    assert await chain.call("bank_getBalances", address=text(CAROL)) == {"items": [], "next_cursor": None}
    assert (await chain.error("bank_getSupply", denom="no"))["code"] == -32602


async def test_every_query_of_every_module_has_a_method(chain):
    methods = chain.dispatcher.registry.methods
    for name in (
        "machine_getFeeMarket",
        "accounts_getAccount",
        "bank_getBalance",
        "bank_getBalances",
        "bank_getSupply",
    ):
        assert name in methods
    assert len(chain.machine.registry.queries) == sum(
        name.split("_")[0] in chain.machine.registry.modules for name in methods
    )
    market = await chain.call("machine_getFeeMarket")
    assert market["price"] == "10"


# -- events ------------------------------------------------------------------------------------------------------


async def test_events_are_found_by_name_address_and_height(chain):
    await chain.send(ALICE, BOB, 1)
    chain.mine()
    await chain.send(BOB, CAROL, 2)
    await chain.send(ALICE, CAROL, 3)
    chain.mine()
    sent = await chain.call("events_query", event="bank.")
    assert [item["fields"]["amount"] for item in sent["items"]] == ["1", "2", "3"]
    assert sent["next_cursor"] is None
    bobs = await chain.call("events_query", event="bank.transferred", address=text(BOB))
    assert [item["height"] for item in bobs["items"]] == [1, 2]
    second = await chain.call("events_query", event="bank.", from_height=2, to_height=2)
    assert [item["fields"]["amount"] for item in second["items"]] == ["2", "3"]
    hooks = [item for item in (await chain.call("events_query"))["items"] if item["source"] == "block"]
    assert hooks
    assert all(item["transaction_hash"] is None for item in hooks)


async def test_events_are_paged_without_gap_or_repetition(chain):
    for amount in range(1, 8):
        await chain.send(amount=amount)
        if amount % 3 == 0:
            chain.mine()
    chain.mine()
    everything = (await chain.call("events_query", limit=100))["items"]
    for limit in (1, 2, 3):
        found: list[Any] = []
        cursor: str | None = None
        while True:
            page = await chain.call("events_query", limit=limit, **({"cursor": cursor} if cursor else {}))
            assert len(page["items"]) <= limit
            found += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert found == everything


async def test_wrong_event_queries_are_refused(chain):
    chain.mine()
    for params in ({"cursor": "x"}, {"cursor": "1.0.0", "from_height": 1}, {"limit": 0}, {"event": ""}, {"limit": 1000},
                   {"address": "qx1"}, {"from_height": -1}, {"cursor": "1.0"}):  # fmt: skip
        assert (await chain.error("events_query", **params))["code"] in (-32602, 1017)
    huge = "9" * 18
    assert await chain.call("events_query", cursor=f"{huge}.{huge}.{huge}") == {
        "items": [],
        "next_cursor": None,
    }
    assert (await chain.call("events_query", from_height=2**63))["items"] == []


class Reader:
    """Walks a feed as a subscription does."""

    def __init__(self, chain: TestChain) -> None:
        self.feed = ChainFeed(chain.service, Renderer(chain.service))

    def read(self, topic: str, chosen: Any = None, cursor: str = "1.0.0") -> list[tuple[str, Any]]:
        found = []
        while True:
            page = run(self.feed.page_steps(topic, chosen, cursor))
            found += page.items
            cursor = page.cursor
            if not page.behind:
                return found


async def test_each_topic_replays_from_any_of_its_cursors(chain):
    for amount in range(1, 6):
        await chain.send(amount=amount)
        if amount != 2:
            chain.mine()
    chain.mine()
    reader = Reader(chain)
    expected = {"blocks": chain.ledger.height, "transactions": 5}
    for topic in ("blocks", "transactions", "events"):
        everything = reader.read(topic)
        assert len(everything) == expected.get(topic, len(everything)) > 4
        for index, (cursor, _) in enumerate(everything):
            assert reader.read(topic, None, cursor) == everything[index + 1 :], (topic, cursor)


async def test_a_feed_refuses_wrong_starts_and_filters(chain):
    chain.mine(2)
    feed = Reader(chain).feed
    assert feed.start("blocks", None, None) == str(Cursor(3))
    assert feed.start("blocks", None, "3.0.0") == "3.0.0"
    for topic, chosen, cursor in (("blocks", None, "x"), ("blocks", None, "4.0.0")):
        with pytest.raises(Exception, match="cursor"):
            feed.start(topic, chosen, cursor)


async def test_a_page_of_events_ends_within_a_block_and_goes_on_there(chain, monkeypatch):
    """A full block has 17,000 events: looking through all of them held the event loop for 75 ms."""
    monkeypatch.setattr("node.rpc.event_methods.MAX_SCANNED_EVENTS", 3)
    for _ in range(7):
        await chain.send(amount=1)
    chain.mine()
    whole = Reader(chain).read("events")
    found, cursor, pages = [], None, 0
    while True:
        page = await chain.call("events_query", **({} if cursor is None else {"cursor": cursor}))
        found += page["items"]
        pages += 1
        assert len(page["items"]) <= 3
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert found == [data for _, data in whole]
    assert len(found) >= 7
    assert pages >= 3
