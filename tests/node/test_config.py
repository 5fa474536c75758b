"""Settings: ranges at load, one rule of precedence, no unknown key passes."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.config import (
    CONFIG_FILE,
    SECTIONS,
    Config,
    config_from_tables,
    config_text,
    default_config_text,
    load_config,
    specs_of,
    to_dict,
)
from qenex.errors import InvalidConfig

ALL = [(section, key) for section, kind in SECTIONS.items() for key in specs_of(kind)]
NUMBERS = [(section, key) for section, key in ALL if type(specs_of(SECTIONS[section])[key][1]) is int]


def test_the_written_default_file_says_the_defaults(tmp_path: Path):
    (tmp_path / CONFIG_FILE).write_text(default_config_text())
    assert load_config(tmp_path) == Config(tmp_path)
    uncommented = "\n".join(
        line.removeprefix("# ") if " = " in line and line.startswith("# ") else line
        for line in default_config_text().splitlines()
    )
    (tmp_path / CONFIG_FILE).write_text(uncommented)
    assert load_config(tmp_path) == Config(tmp_path)


def test_without_a_file_the_defaults_hold(tmp_path: Path):
    assert load_config(tmp_path).rpc.port == 7300


def test_precedence_is_file_then_environment_then_overrides(tmp_path: Path):
    (tmp_path / CONFIG_FILE).write_text("[rpc]\nport = 1\nhost = 'h'\nmax_batch = 3\n")
    config = load_config(
        tmp_path, environment={"QENEX_RPC_PORT": "2", "QENEX_RPC_MAX_BATCH": "4"}, overrides=["rpc.port=3"]
    )
    assert (config.rpc.host, config.rpc.max_batch, config.rpc.port) == ("h", 4, 3)


@pytest.mark.parametrize(("section", "key"), ALL)
def test_every_setting_refuses_another_type(tmp_path: Path, section: str, key: str):
    with pytest.raises(InvalidConfig, match=rf"{section}\.{key}"):
        config_from_tables(tmp_path, {section: {key: 1.5}})
    with pytest.raises(InvalidConfig, match=rf"{section}\.{key}"):
        config_from_tables(tmp_path, {section: {key: {}}})


@pytest.mark.parametrize(("section", "key"), NUMBERS)
def test_numbers_out_of_range_are_refused_with_the_range(tmp_path: Path, section: str, key: str):
    spec, default = specs_of(SECTIONS[section])[key]
    assert spec.low is not None
    assert spec.high is not None
    assert spec.low <= default <= spec.high
    for value in (spec.low - 1, spec.high + 1):
        with pytest.raises(InvalidConfig) as caught:
            config_from_tables(tmp_path, {section: {key: value}})
        assert f"{section}.{key} = {value}" in caught.value.message
        assert f"{spec.low} to {spec.high}" in caught.value.message


@pytest.mark.parametrize(
    "text",
    [
        "[nothing]\n",
        "[rpc]\nprot = 1\n",
        "rpc = 1\n",
        "[rpc\n",
        "[database]\nbackend = 'oracle'\n",
        "[engine]\nmin_interval_ms = 2000\n",
        "[rpc]\nadmin_token = 'short'\n",
        "[rpc]\nallowed_origins = 'x'\n",
        "[rpc]\nport = true\n",
        "\x00",
    ],
)
def test_a_wrong_file_is_refused_and_named(tmp_path: Path, text: str):
    (tmp_path / CONFIG_FILE).write_text(text)
    with pytest.raises(InvalidConfig, match=CONFIG_FILE):
        load_config(tmp_path)


@pytest.mark.parametrize(
    "override",
    ["rpc.port", "port=1", "rpc.port=x", "rpc.port=70000", "rpc.none=1", "x.y=1", "rpc.enabled=1", "="],
)
def test_a_wrong_override_is_refused(tmp_path: Path, override: str):
    with pytest.raises(InvalidConfig):
        load_config(tmp_path, overrides=[override])


def test_a_wrong_environment_value_names_its_variable(tmp_path: Path):
    with pytest.raises(InvalidConfig, match="QENEX_RPC_PORT"):
        load_config(tmp_path, environment={"QENEX_RPC_PORT": "none"})
    load_config(tmp_path, environment={"QENEX_HOME": "x", "QENEX_NODE": "http://x", "PATH": ""})


def test_secrets_are_not_told(tmp_path: Path):
    config = load_config(tmp_path, overrides=["rpc.admin_token=0123456789abcdef"])
    assert "0123456789abcdef" not in config_text(config, show_secrets=False) + str(to_dict(config))
    with pytest.raises(InvalidConfig) as caught:
        load_config(tmp_path, overrides=["rpc.admin_token=" + "secretword" * 30])
    assert "secretword" not in str(caught.value)


@st.composite
def tables(draw: Any) -> dict[str, dict[str, Any]]:
    result: dict[str, dict[str, Any]] = {}
    for section, key in draw(st.lists(st.sampled_from(ALL), max_size=8)):
        spec, default = specs_of(SECTIONS[section])[key]
        value: Any
        if isinstance(default, bool):
            value = draw(st.booleans())
        elif isinstance(default, int):
            value = draw(st.integers(spec.low, spec.high))
        elif isinstance(default, tuple):
            value = draw(st.lists(st.text(min_size=1, max_size=9), max_size=3))
        elif spec.choices:
            value = draw(st.sampled_from(spec.choices))
        else:
            value = draw(st.text(min_size=16, max_size=40))
        result.setdefault(section, {})[key] = value
    return result


@given(tables())
def test_what_is_written_is_read_again(given_tables: dict[str, dict[str, Any]]):
    try:
        config = config_from_tables(Path("home"), given_tables)
    except InvalidConfig:
        return
    for only_changed in (False, True):
        text = config_text(config, only_changed=only_changed)
        assert config_from_tables(Path("home"), tomllib.loads(text)) == config
