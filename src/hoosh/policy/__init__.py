"""Judgement: pure decisions. Time and chance come in as arguments."""
