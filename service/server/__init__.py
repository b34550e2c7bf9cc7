"""How the service is served: gunicorn's settings and its worker."""
