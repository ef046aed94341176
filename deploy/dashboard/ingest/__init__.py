"""From MQTT into the database: each message once, committed before it is receipted."""
