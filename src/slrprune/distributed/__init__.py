"""Several processes that train one model: who holds what, and how they decide together."""

from slrprune.distributed.replicas import Replicas
from slrprune.distributed.shards import Shards
from slrprune.distributed.world import Alone, Traffic, World

__all__ = ["Alone", "Replicas", "Shards", "Traffic", "World"]
