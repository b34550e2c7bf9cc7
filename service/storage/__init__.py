"""All SQL. Each function takes a connection, and the caller decides on the transaction."""
