"""Get access tokens from an authorization server, keep them privately, renew them."""
