"""A Ray cluster of two nodes on this machine, for a test: `python -m tests.ray_nodes`.

Says its address on a line of standard output. On a line `kill` of standard input, kills the node at which a generation
is being made, without a warning, as a power cut would, and says whether there was one; ends with standard input.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import psutil

_MEMORY = 100 << 20  # bytes of a node's object store


def busy(node: Any) -> bool:
    """Whether a generation is being made at a node."""
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    return any("pipeline.chains.stages" in _words(child) for child in raylet.children(recursive=True))


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def main() -> None:
    """Start the nodes, and do as standard input says."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - so Ray calls it; by default its work waits for all other
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": _MEMORY}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    nodes = [cluster.add_node(num_cpus=1, object_store_memory=_MEMORY) for _ in range(2)]
    print(cluster.address, flush=True)  # noqa: T201 - read by the test
    for line in sys.stdin:
        chosen = next((node for node in nodes if busy(node)), None) if line.strip() == "kill" else None
        if chosen is not None:
            nodes.remove(chosen)
            cluster.remove_node(chosen, allow_graceful=False)
        print("killed" if chosen is not None else "nobody is busy", flush=True)  # noqa: T201
    cluster.shutdown()


if __name__ == "__main__":
    main()
