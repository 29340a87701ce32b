"""Messages as RFC 5322 and MIME know them: addresses, headers, bodies and their composition."""
