"""Embedded key-value stores behind one interface: LevelDB, SQLite, memory."""
