"""Makes `service/web/openapi.json`: `make openapi`, for development only.

The routes, their scopes and their summaries come from the application, and what bodies and
parameters may be from the schemas that validate them. What neither says stands here, in a module
for each resource, by endpoint.
"""
