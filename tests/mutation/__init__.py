"""Mutants of the rules and of the outbox's statements; each must make a test fail, or be explained."""
