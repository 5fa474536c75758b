"""The `qenex` command: wallet, node operator, developer."""
