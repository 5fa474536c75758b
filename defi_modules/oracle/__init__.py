"""Oracle: prices of what lies outside the chain, told by validators, with their age and uncertainty."""

from defi_modules.oracle.math import answer, median, normalized
from defi_modules.oracle.module import Oracle
from defi_modules.oracle.types import Feed, PriceAnswer, PriceReport

__all__ = ["Feed", "Oracle", "PriceAnswer", "PriceReport", "answer", "median", "normalized"]
