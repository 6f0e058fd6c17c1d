"""What the gateway keeps in one SQLite file, `hoosh.db`: records of keys, and the books."""
