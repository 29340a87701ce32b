"""The outbox: the rules of a message's life, the store's interface, and SQLite behind it."""
