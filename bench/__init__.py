"""The service's speed, measured beside its peers in one run: `make bench`."""
