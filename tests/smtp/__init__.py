"""One connection to one server: its bytes, its logins, and transactions over it."""
