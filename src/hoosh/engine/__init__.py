"""Order: the life of one call. Awaits, and no format, no SQL, no socket."""
