"""A whole network in one process, from one seed: see `docs/developers/simulation.md`."""
