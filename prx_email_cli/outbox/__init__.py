"""The durable outbox: the rules of a message's life, the store interface and its SQLite implementation."""
