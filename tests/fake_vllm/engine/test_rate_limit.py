"""Token buckets fill evenly, and say how long to wait."""

import pytest

from fake_vllm.engine.rate_limit import MOST_KEYS, Bucket, Buckets


def test_a_bucket_fills_up_to_its_size() -> None:
    bucket = Bucket(size=10, rate=2, left=1, at=100.0)
    bucket.fill(102.0)
    assert bucket.left == 5
    bucket.fill(103.0)
    assert bucket.left == 7
    bucket.fill(200.0)
    assert bucket.left == 10


@pytest.mark.parametrize(
    ("units", "left", "seconds"),
    [(1, 4, 0.0), (4, 4, 0.0), (8, 4, 2.0), (10, 4, 3.0), (99, 4, 3.0), (1, -3, 2.0)],
)
def test_it_says_how_long_to_wait(units: float, left: float, seconds: float) -> None:
    """A request for more than its size has to wait until it is full."""
    assert Bucket(size=10, rate=2, left=left, at=0).wait(units) == seconds


def test_each_client_has_a_bucket_of_its_own_which_is_full_at_first() -> None:
    buckets = Buckets()
    first = buckets.get("a", 10, 2, 100.0)
    first.left -= 6
    assert buckets.get("a", 10, 2, 101.0) is first
    assert first.left == 6
    assert buckets.get("b", 10, 2, 101.0).left == 10
    buckets.clear()
    assert buckets.get("a", 10, 2, 101.0).left == 10


def test_the_bucket_that_was_used_longest_ago_is_forgotten() -> None:
    buckets = Buckets()
    kept = buckets.get(0, 10, 1, 0.0)
    forgotten = buckets.get(1, 10, 1, 0.0)
    for key in range(2, MOST_KEYS):
        buckets.get(key, 10, 1, 0.0)
    assert buckets.get(0, 10, 1, 0.0) is kept
    buckets.get("one more", 10, 1, 0.0)
    assert buckets.get(0, 10, 1, 0.0) is kept
    assert buckets.get(1, 10, 1, 0.0) is not forgotten
