"""Ollama's pages beside inference: what its CLI and the programs made for it ask before and after they chat.

Source: https://docs.ollama.com/api (read 2026-11). servers.py asks the Ollama servers among the providers, pages.py
shows models, keep.py brings and removes them, loading.py answers those who only want a model to be ready.
"""
