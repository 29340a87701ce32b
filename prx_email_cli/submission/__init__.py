"""Make a stored message of a request."""
