"""Setting up one outbox for the whole machine."""
