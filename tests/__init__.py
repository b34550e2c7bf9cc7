"""Tests. What their support asserts is explained as what they assert themselves."""

from contextlib import suppress

# The bench uses their support without pytest.
with suppress(ModuleNotFoundError):
    import pytest

    pytest.register_assert_rewrite("tests.support")
