"""The part of ddptui that lives in other people's processes: standard library only, and nothing heavy on import."""

from ddptui.speaker import log

__all__ = ["__version__", "log"]

__version__ = "0.1.0"
