"""What the pages ask: functions over a connection that return frozen values, and change nothing."""
