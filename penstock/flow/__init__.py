"""Mechanisms of load that know nothing of retrieval: batches, doors, budgets, breakers, owners of tasks.

All of them read time from an injected Clock and set timers on the running event loop; on a loop with a virtual clock
(tests/simulation) whole days of traffic run in a second.
"""
