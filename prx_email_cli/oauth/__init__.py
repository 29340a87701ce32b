"""OAuth: access tokens got from an authorization server, kept privately, and renewed in time."""
