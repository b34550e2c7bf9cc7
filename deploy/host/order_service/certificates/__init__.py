"""The certificate that nginx serves, and its renewal."""
