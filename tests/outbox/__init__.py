"""The rules of a message's life, and the database that keeps them."""
