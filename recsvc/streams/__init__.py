"""Events from Kafka, and changes to it."""
