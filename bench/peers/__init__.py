"""What the service is measured against. Each passes `bench.conformance` before."""
