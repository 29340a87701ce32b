"""Set up one outbox for the whole machine, step by step, and take it away again."""
