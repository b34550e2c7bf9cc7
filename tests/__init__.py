"""Tests. What their support asserts is explained as what they assert themselves."""

import pytest

pytest.register_assert_rewrite("tests.support")
