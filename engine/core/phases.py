"""The phases of a step."""

__all__ = ["PHASES"]

PHASES = ("data", "forward", "backward", "comm", "bubble", "optimizer", "other")
"""Phases of a step in the order they are drawn. An open map: readers accept others."""
