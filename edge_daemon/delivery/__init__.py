"""How results leave the device: outbox, MQTT, receipts."""
