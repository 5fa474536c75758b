"""A genesis file has one meaning and one hash; whatever is wrong with it is named."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import genesis as genesis_module
from ledger.genesis import MAX_DEPTH, Genesis
from qenex.block import MAX_VALIDATORS, Validator
from qenex.crypto import SCHEMES, address_of, key_bytes
from qenex.crypto.address import Address
from qenex.errors import InvalidGenesis
from qenex.proposers import MAX_TOTAL_POWER
from tests.ledger.chains import VALIDATOR, genesis

numbers = st.integers(-(2**256) + 1, 2**256 - 1)
data = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
module_names = st.sampled_from(["bank", "staking", "amm", "x_1"])
modules = st.dictionaries(module_names, st.dictionaries(st.text(max_size=5), data, max_size=3), max_size=3)


def validator(number: int, power: int) -> Validator:
    public_key, _ = SCHEMES["ed25519"].generate(number.to_bytes(32, "big"))
    return Validator(address_of(1, public_key), key_bytes(1, public_key), power)


def made(**fields: Any) -> Genesis:
    plain: dict[str, Any] = {
        "chain_id": "test-chain",
        "time": 1_700_000_000_000_000_001,
        "validators": (VALIDATOR,),
        "parameters": {},
        "modules": {},
    }
    return Genesis(**{**plain, **fields})


def edited(**fields: Any) -> str:
    return json.dumps({**json.loads(made().to_json()), **fields})


@given(modules, modules, st.integers(1, 2**63 - 1), st.integers(0, 2**60))
def test_a_genesis_survives_its_text_and_its_record(
    parameters: dict[str, Any], contents: dict[str, Any], height: int, time: int
) -> None:
    first = made(parameters=parameters, modules=contents, initial_height=height, time=time)
    for again in (
        Genesis.from_json(first.to_json()),
        Genesis.from_json(first.to_json("tqx").encode()),
        Genesis.from_record(first.record),
    ):
        assert again == first
        assert (again.hash, again.to_json()) == (first.hash, first.to_json())


def same_json(a: Any, b: Any) -> bool:
    """Equal as JSON values: for Python 1 == True."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same_json(a[name], b[name]) for name in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same_json, a, b))
    return bool(a == b)


@given(modules, modules)
def test_two_genesis_have_one_hash_only_if_they_are_the_same_json(
    a: dict[str, Any], b: dict[str, Any]
) -> None:
    assert (made(modules=a).hash == made(modules=b).hash) is same_json(a, b)


def test_a_list_of_pairs_is_not_an_object() -> None:
    pairs = made(modules={"bank": {"x": [["a", 1]]}})
    tagged = made(modules={"bank": {"x": [1, [["a", 1]]]}})
    object_ = made(modules={"bank": {"x": {"a": 1}}})
    assert len({pairs.hash, tagged.hash, object_.hash}) == 3


def test_layout_order_of_names_and_order_of_validators_do_not_matter() -> None:
    several = (validator(1, 5), validator(2, 9), validator(3, 5))
    one = made(validators=several, modules={"bank": {"b": 1, "a": 2}, "amm": {}})
    other = made(validators=several[::-1], modules={"amm": {}, "bank": {"a": 2, "b": 1}})
    assert one.hash == other.hash
    assert one.to_json() == other.to_json()
    assert [v.power for v in one.validators] == [9, 5, 5]
    squeezed = json.dumps(json.loads(one.to_json()), separators=(",", ":"), sort_keys=True)
    assert Genesis.from_json(squeezed).hash == one.hash


def test_the_hash_of_a_known_genesis_stands_for_ever() -> None:
    """Another hash for the same contents would cut every running chain off from its genesis."""
    assert genesis().hash.hex() == "7baeb9bfa63bfcf708ff6616b5ebfa19e7533a42039793048b34ddad5bb79fd9"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "not JSON"),
        ("[]", "one JSON object"),
        ("{", "not JSON"),
        ('{"a": 1} {}', "not JSON"),
        ('{"a": 1, "a": 1}', "'a' stands twice"),
        ('{"a": NaN}', "NaN"),
        ("[" * 100_000, "not JSON"),
        ('{"modules": "\\ud800"}', "missing"),
        (edited(extra=1), "unknown fields ['extra']"),
        (edited(schema_version=2), "schema_version"),
        (edited(schema_version=True), "schema_version"),
        (edited(chain_id="ab"), "chain_id"),
        (edited(chain_id="a" * 33), "chain_id"),
        (edited(chain_id="Chain"), "chain_id"),
        (edited(chain_id="chain-"), "chain_id"),
        (edited(chain_id="1chain"), "chain_id"),
        (edited(chain_id="sim-1"), "simulator"),
        (edited(chain_id="chain\n"), "chain_id"),
        (edited(chain_id=7), "chain_id"),
        (edited(time=5), "time"),
        (edited(time="2026-01-01"), "time"),
        (edited(time="1969-01-01T00:00:00Z"), "time"),
        (edited(initial_height=0), "initial_height"),
        (edited(initial_height=1.0), "initial_height"),
        (edited(initial_height="1"), "initial_height"),
        (edited(initial_height=2**63), "initial_height"),
        (edited(initial_height=10**100), "initial_height"),
        (edited(protocol_version=0), "protocol_version"),
        (edited(protocol_version=2**32), "protocol_version"),
        (edited(parameters=[]), "parameters"),
        (edited(parameters={"machine": []}), "parameters.machine"),
        (edited(parameters={"Machine": {}}), "parameters"),
        (edited(modules={"bank": {"a": [{"b": 1.5}]}}), "modules.bank.a[0].b"),
        (edited(modules={"bank": {"a": 1e400}}), "Infinity"),
        (edited(modules={"bank": {"a": 2**256}}), "modules.bank.a"),
        (edited(modules={"bank": {"a": "\ud800"}}), "no encoding"),
        (edited(modules={"bank": {"\ud800": 1}}), "modules.bank"),
        (edited(modules={"bank": {"x" * 257: 1}}), "modules.bank"),
        (edited(validators=[]), "validators"),
        (edited(validators={}), "validators"),
        (edited(validators=[1]), "validators[0]"),
        (edited(validators=[{}] * (MAX_VALIDATORS + 1)), "validators"),
    ],
)
def test_whatever_is_wrong_with_a_file_is_named(text: str, named: str) -> None:
    with pytest.raises(InvalidGenesis) as caught:
        Genesis.from_json(text)
    assert named in caught.value.message


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"key": "0x01" + "00" * 32}, "validators[0].key"),  # an Ed25519 point of small order
        ({"key": "0x01" + "00" * 31}, "validators[0].key"),
        ({"key": "0x7f" + "11" * 32}, "scheme tag"),
        ({"key": "0x"}, "scheme tag"),
        ({"key": "11"}, "validators[0]"),
        ({"power": 0}, "validators[0].power"),
        ({"power": -1}, "validators[0]"),
        ({"power": MAX_TOTAL_POWER + 1}, "total power"),
        ({"address": "qx1qqqq"}, "validators[0]"),
        ({"name": "x"}, "validators[0]"),
    ],
)
def test_a_validator_that_nobody_should_trust_is_refused(change: dict[str, Any], named: str) -> None:
    item = json.loads(made().to_json())["validators"][0]
    with pytest.raises(InvalidGenesis) as caught:
        Genesis.from_json(edited(validators=[{**item, **change}]))
    assert named in caught.value.message


def test_validators_have_addresses_and_keys_of_their_own_and_a_bounded_power_together() -> None:
    one, two = validator(1, 5), validator(2, 5)
    with pytest.raises(InvalidGenesis, match=r"validators\[1\].address"):
        made(validators=(one, two._replace(address=one.address)))
    with pytest.raises(InvalidGenesis, match=r"validators\[1\].key"):
        made(validators=(one, two._replace(key=one.key)))
    with pytest.raises(InvalidGenesis, match="total power"):
        made(validators=(one._replace(power=MAX_TOTAL_POWER), two))
    made(validators=(one._replace(power=MAX_TOTAL_POWER - 5), two))
    with pytest.raises(InvalidGenesis, match="validators"):
        made(validators=tuple(Validator(Address(bytes(32)), b"", 1) for _ in range(MAX_VALIDATORS + 1)))


def test_validators_whose_commits_and_evidence_fit_no_block_are_refused_here_not_when_it_is_built() -> None:
    scheme = SCHEMES["slh-dsa-sha2-128s"]
    many = [
        Validator(Address(bytes([n]) * 32), key_bytes(scheme.tag, bytes([n]) * scheme.public_key_size), 1)
        for n in range(1, 61)
    ]
    made(validators=tuple(many[:40]))
    with pytest.raises(InvalidGenesis, match="commits of"):
        made(validators=tuple(many))


def test_depth_and_size_are_bounded_before_anything_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    nested: Any = 1
    for _ in range(MAX_DEPTH - 1):
        nested = [nested]
    assert made(modules={"bank": {"a": nested}}).hash
    with pytest.raises(InvalidGenesis, match="nested"):
        made(modules={"bank": {"a": [[nested]]}})
    text = made().to_json()
    monkeypatch.setattr(genesis_module, "MAX_SIZE", len(text) - 1)
    with pytest.raises(InvalidGenesis, match="bytes"):
        Genesis.from_json(text)
    monkeypatch.setattr(genesis_module, "MAX_SIZE", 100)
    with pytest.raises(InvalidGenesis, match="bytes"):
        made()
    monkeypatch.undo()
    monkeypatch.setattr(genesis_module, "MAX_CONTAINERS", 3)
    with pytest.raises(InvalidGenesis, match="lists and objects"):
        Genesis.from_json(text)


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes_are_a_genesis_or_a_typed_error(junk: bytes) -> None:
    with pytest.raises(InvalidGenesis):
        Genesis.from_json(junk)
    with pytest.raises(InvalidGenesis):
        Genesis.from_record(junk)


@given(st.data())
def test_a_changed_file_or_record_is_a_typed_error_or_another_genesis(draw: st.DataObject) -> None:
    first = made(modules={"bank": {"balances": [{"amount": "5", "list": [1, None, True]}]}})
    for original, read in (
        (first.to_json().encode(), Genesis.from_json),
        (first.record, Genesis.from_record),
    ):
        at = draw.draw(st.integers(0, len(original) - 1))
        damaged = bytearray(original)
        damaged[at] ^= draw.draw(st.integers(1, 255))
        try:
            again = read(bytes(damaged))
        except InvalidGenesis:
            continue
        assert again.hash != first.hash or again == first
