"""A run on three nodes of one machine, one of which is lost on the way; prints the outcome as JSON.

A process of its own: the nodes are another cluster than the tests'.
"""

import json
import sys
import time

import ray
from ray.cluster_utils import Cluster

from tests.runs import LONG, ON_RAY, At, simulated


def main() -> None:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    others = [cluster.add_node(num_cpus=1) for _ in range(2)]
    cluster.wait_for_nodes()
    ray.init(address=cluster.address, logging_level="ERROR", log_to_driver=False)

    def lose() -> None:
        """And go on once the cluster knows: else the run may be over before that."""
        cluster.remove_node(others[0], allow_graceful=False)
        while sum(node["Alive"] for node in ray.nodes()) > len(others):
            time.sleep(0.1)

    lost = At(8, lose)
    outcome = simulated(*LONG, *ON_RAY, *sys.argv[1:], listener=lost)
    print(
        json.dumps(
            {
                "digest": outcome.digest,
                "nodes": outcome.nodes,
                "recoveries": outcome.totals.recoveries,
                "redone": outcome.totals.events_redone,
                "events": outcome.totals.events,
            }
        ),
        flush=True,
    )
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main()
