"""prx-email: the outbox for machines that must send mail and must not lose or double it."""

__version__ = "0.1.0"
