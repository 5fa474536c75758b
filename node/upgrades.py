"""Which rules this program knows, and what it does when others were voted for."""

from __future__ import annotations

from typing import Final

from ledger.state import Readable
from qenex.errors import UpgradeRequired
from qenex.state_keys import ModuleId
from vm.core import Upgrade

PROTOCOL_VERSION: Final = 1
"""The newest rules that this program knows."""
PLANNED_UPGRADE: Final = bytes((ModuleId.MACHINE, 9))
"""State key of the upgrade that was voted for."""


def check_upgrade(state: Readable, next_height: int) -> None:
    """Raises UpgradeRequired when an upgrade that was voted for holds from `next_height` on and is not known here."""
    plan: Upgrade | None = state.get(PLANNED_UPGRADE)
    if plan is not None and plan.height <= next_height and plan.protocol_version > PROTOCOL_VERSION:
        raise UpgradeRequired(
            f"from height {plan.height} on the chain follows protocol version {plan.protocol_version} "
            f"({plan.name!a}); this program knows {PROTOCOL_VERSION}"
        )
