"""Define the commands: each parses its options, calls one function and renders the result."""

import gc

# Start-up makes objects that stay: looking for garbage among them took a sixth of its time.
gc.set_threshold(50_000)
