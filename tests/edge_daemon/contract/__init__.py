"""The contract: messages, topics, schemas, bundle."""
