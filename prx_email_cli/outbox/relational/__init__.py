"""What outboxes in any SQL database share: the statements that both understand, and the steps that they make."""
