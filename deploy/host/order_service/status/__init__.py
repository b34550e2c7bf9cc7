"""How the service on this host is, for people and for programs."""
