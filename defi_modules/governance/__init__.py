"""Governance: proposals that execute, votes by power from before they were visible, a guardian with bounded pauses, polls."""

from defi_modules.governance.math import quadratic_tally, tally
from defi_modules.governance.module import Governance

__all__ = ["Governance", "quadratic_tally", "tally"]
