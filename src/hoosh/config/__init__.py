"""What an operator writes: one TOML file, a few environment variables, and every mistake told with its line."""
