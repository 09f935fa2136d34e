"""Atomic writes, JSON, tables, and text in any encoding."""
