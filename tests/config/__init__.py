"""What the config may say, what it must not, and where secrets come from and never go."""
