"""AMM: pools of three curves under one interface."""
