"""Ollama's own API. chat.py is the provider's face of /api/chat."""

from hoosh.dialects.ollama.chat import DIALECT, LOSSES, NAME, Ollama, OllamaReader

__all__ = ["DIALECT", "LOSSES", "NAME", "Ollama", "OllamaReader"]
