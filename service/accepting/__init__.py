"""From a valid order to a durable row: exactly once, in groups."""
