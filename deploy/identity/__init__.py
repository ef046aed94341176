"""Who a device is: a private certificate authority, and one certificate for each identity."""
