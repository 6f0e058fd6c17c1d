"""Budgets and keys in Valkey or Redis."""
