"""Threads: what is learned from messages of others, and what an answer to one looks like."""
