"""Buckets as folders: planned."""

from __future__ import annotations

from gx._planned import Planned


class CloudBucketMount(Planned):
    """Planned: a bucket of an object store as a folder."""
