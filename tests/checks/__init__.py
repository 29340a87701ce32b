"""``doctor``: each check turns when its cause is real, and nothing is changed by looking."""
