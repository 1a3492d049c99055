"""The vocabulary that the web tier and the workers share: names, types, settings and the store."""

__version__ = "0.1.0"
