"""What a person types: thin commands that parse, call one function and render its result."""

import gc

# Starting up is making objects that stay: looking through them for garbage took a sixth of cron's every start.
gc.set_threshold(50_000)
