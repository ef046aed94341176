"""The outbox and the way over MQTT."""
