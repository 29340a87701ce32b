"""Read and write messages (RFC 5322, MIME): addresses, headers, bodies."""
