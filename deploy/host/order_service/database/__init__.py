"""MySQL where several hosts use it: one server, or one as a member of a group."""
