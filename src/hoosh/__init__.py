"""hoosh: one OpenAI-compatible endpoint in front of local and remote models."""

__version__ = "0.1.0"
