"""The part of ddptui that lives in other people's processes: standard library only, and nothing heavy on import."""

__all__ = ["__version__"]

__version__ = "0.1.0"
