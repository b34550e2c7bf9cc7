"""Who calls the API, and what a caller may do."""

from __future__ import annotations

from dataclasses import dataclass

from service.storage.clients import Scope

# What an operator may do without being given these scopes as well.
IMPLIED = frozenset({Scope.ORDERS_READ, Scope.METRICS_READ})
ALL_SCOPES = frozenset(Scope)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a request, by name, and the scopes that it was given."""

    name: str
    scopes: frozenset[Scope]

    def may(self, scope: Scope) -> bool:
        """Return whether the caller has the scope, or `operate` in its place where that will do."""
        return scope in self.scopes or (scope in IMPLIED and Scope.OPERATE in self.scopes)
