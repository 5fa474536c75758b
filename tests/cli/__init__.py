"""The command line, without a node."""
