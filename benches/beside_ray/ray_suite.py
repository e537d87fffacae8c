"""Runs `ray microbenchmark` in this process and writes its rows as JSON to the file named on the command line.

The suite is Ray's, unchanged; only where the node listens is said here, and the rows of Ray's client, which
have no counterpart, are left out.
"""

import functools
import json
import sys
import types

import ray

# The rows of Ray's client would want grpc to be installed.
sys.modules["ray._private.ray_client_microbenchmark"] = types.SimpleNamespace(
    main=lambda results: results
)
from ray._private import ray_perf  # noqa: E402

ray.init = functools.partial(
    ray.init, _node_ip_address="127.0.0.1", include_dashboard=False, log_to_driver=False
)

rows = []
measure = ray_perf.timeit


def timeit(*arguments, **options):
    measured = measure(*arguments, **options)
    rows.extend(measured)
    return measured


ray_perf.timeit = timeit
ray_perf.main()
with open(sys.argv[1], "w") as out:
    json.dump(
        {
            "ray": ray.__version__,
            "python": sys.version.split()[0],
            "rows": [
                {"name": name, "mean": float(mean), "deviation": float(deviation)}
                for name, mean, deviation in filter(None, rows)
            ],
        },
        out,
    )
