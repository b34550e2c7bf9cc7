"""The passwords and keys of the stack, and how they are changed."""
