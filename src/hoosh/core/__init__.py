"""Words: the frozen types that every room speaks. Imports nothing of hoosh."""
