"""The outbox: the rules of a message's life, the store's interface, and the databases behind it."""

# A message's content is stored in pieces, each of so many bytes but for the last one.
PIECE_BYTES = 256 * 1024
PIECES_PER_MESSAGE = 65_536
