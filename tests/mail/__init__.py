"""The message as its reader gets it: addresses, headers, bodies, and their way over a real wire."""
