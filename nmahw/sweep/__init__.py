"""Sweeps: many designs placed and routed, on this machine or a cluster, losing nothing.

`spec` reads what is asked for; `plan` turns it into tasks and their results into more tasks;
`engine` runs tasks on Dask workers; `job` is what happens in a worker; `store` keeps one row per
attempt; `search` spends place and route near the front only; `points` and `pareto` read results,
`columns` is what there is to know of them, and `rebuild` makes one again.
"""
