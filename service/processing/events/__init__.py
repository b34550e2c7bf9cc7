"""Tells a receiver of the orders that ended, at least once, from the outbox in the database."""
