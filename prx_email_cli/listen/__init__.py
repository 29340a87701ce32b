"""The SMTP server in front of the outbox, on sockets and on standard input."""
