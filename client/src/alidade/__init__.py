"""Alidade from Python and from the command line."""

from alidade.client import AlidadeClient, AlidadeClientError

__version__ = "0.1.0"
__all__ = ["AlidadeClient", "AlidadeClientError", "__version__"]
