"""A run on three nodes of one machine, one of which is lost on the way; prints the outcome as JSON.

A process of its own: the nodes are another cluster than the tests'.
"""

import json
import sys
import threading
import time

import ray
from ray.cluster_utils import Cluster
from ray.util import list_named_actors

from tests.runs import LONG, ON_RAY, simulated


def main() -> None:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    others = [cluster.add_node(num_cpus=1) for _ in range(2)]
    cluster.wait_for_nodes()
    ray.init(address=cluster.address, logging_level="ERROR", log_to_driver=False)
    found = []
    overrides = [*LONG, *ON_RAY, *sys.argv[1:]]
    thread = threading.Thread(target=lambda: found.append(simulated(*overrides)))
    thread.start()
    while len(list_named_actors()) < 3:
        time.sleep(0.05)
    for name in list_named_actors():  # until they are there
        ray.get(ray.get_actor(name).node.remote())
    time.sleep(0.5)
    cluster.remove_node(others[0], allow_graceful=False)
    thread.join()
    (outcome,) = found
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
