"""From one place to many devices: bundles, broker, fleet, dashboard."""
