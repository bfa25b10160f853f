"""Engines and their replicas as metrics, read when somebody looks: replicas come and go while the process runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


class Replica(Protocol):
    """One server of a model."""

    @property
    def name(self) -> str: ...

    @property
    def condition(self) -> str: ...

    @property
    def in_hand(self) -> int: ...


class Engine(Protocol):
    """One model."""

    @property
    def model(self) -> str: ...

    @property
    def replicas(self) -> Sequence[Replica]: ...

    @property
    def attempts(self) -> int: ...

    @property
    def retries(self) -> int: ...

    @property
    def hedges(self) -> int: ...

    @property
    def prefix_hit_ratio(self) -> float: ...

    @property
    def waiting_for_provider(self) -> int: ...


class Engines(Collector):
    """Asks for the engines' states at every reading."""

    def __init__(self, states: Callable[[], Sequence[Engine]]) -> None:
        self._states = states

    def collect(self) -> Iterator[Metric]:
        """The families, with a sample for each engine and each replica."""
        states = self._states()
        counts: tuple[tuple[str, str, Callable[[Engine], int]], ...] = (
            ("penstock_engine_attempts_total", "Calls to the model's servers.", lambda one: one.attempts),
            (
                "penstock_engine_retries_total",
                "Second tries elsewhere before the first token.",
                lambda one: one.retries,
            ),
            (
                "penstock_engine_hedges_total",
                "Second servers asked because the first was slow.",
                lambda one: one.hedges,
            ),
        )
        for name, text, value in counts:
            counter = CounterMetricFamily(name, text, labels=["model"])
            for state in states:
                counter.add_metric([state.model], value(state))
            yield counter
        ratio = GaugeMetricFamily(
            "penstock_engine_prefix_hit_ratio", "Prompt blocks that met a server which had them.", labels=["model"]
        )
        waiting = GaugeMetricFamily(
            "penstock_engine_waiting", "Requests that wait for a provider's limit.", labels=["model"]
        )
        in_hand = GaugeMetricFamily(
            "penstock_replica_in_hand", "Requests that are with the server.", labels=["model", "replica"]
        )
        condition = GaugeMetricFamily(
            "penstock_replica_condition", "1 for how it stands.", labels=["model", "replica", "condition"]
        )
        for state in states:
            ratio.add_metric([state.model], state.prefix_hit_ratio)
            waiting.add_metric([state.model], state.waiting_for_provider)
            for replica in state.replicas:
                in_hand.add_metric([state.model, replica.name], replica.in_hand)
                condition.add_metric([state.model, replica.name, replica.condition], 1)
        yield from (ratio, waiting, in_hand, condition)
