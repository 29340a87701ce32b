"""Nights that an operator had: what goes wrong is told, explained, and mended by the very command that is named."""

from . import accounts, machines, messages

NIGHTS = (*accounts.NIGHTS, *messages.NIGHTS, *machines.NIGHTS)
