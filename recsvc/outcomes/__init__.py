"""What followed an answer, and the id by which it is told."""
