"""From what a caller asks for to a stored message."""
