"""The version, apart from the package so that building needs no imports."""

__version__ = "0.1.0"
