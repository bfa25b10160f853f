"""Samples and trials made by hand, for tests of what is drawn from them."""

from __future__ import annotations

import numpy as np

from penstock.bench.figures import Figures, Slo, figures
from penstock.bench.load import KINDS, Kind, Load, Stream
from penstock.bench.meter import Usage
from penstock.bench.samples import MOMENTS, Outcome, Samples
from penstock.bench.trial import Trial

OK = Outcome("ok", 200, "")
LOAD = Load(streams=(Stream(rate=10),), duration_s=10.0, warmup_s=0.0)


class Row:
    """One request: due, and answered so much later (unless `late_s` says that it was sent late)."""

    def __init__(
        self,
        due_s: float,
        latency_ms: float,
        outcome: Outcome = OK,
        *,
        late_s: float = 0.0,
        retry_after: int = -1,
        kind: Kind = "search",
        first_token_ms: float = float("nan"),
        stage_ms: float = float("nan"),
        degraded: bool = False,
    ) -> None:
        self.moments = dict.fromkeys(MOMENTS, due_s)
        self.moments["dispatched_s"] = self.moments["sent_s"] = due_s + late_s
        self.moments["first_token_s"] = due_s + first_token_ms / 1000
        self.moments["ended_s"] = due_s + latency_ms / 1000
        self.outcome, self.retry_after, self.kind = outcome, retry_after, kind
        self.stage_ms, self.degraded = stage_ms, degraded


def samples_of(rows: list[Row], *, cpu_share: float = 0.1) -> Samples:
    outcomes = list(dict.fromkeys(row.outcome for row in rows))
    return Samples(
        moments={name: np.array([row.moments[name] for row in rows]) for name in MOMENTS},
        stream=np.zeros(len(rows), dtype=np.int64),
        kind=np.array([KINDS.index(row.kind) for row in rows]),
        outcome=np.array([outcomes.index(row.outcome) for row in rows]),
        outcomes=outcomes,
        retry_after=np.array([row.retry_after for row in rows]),
        degraded=np.array([row.degraded for row in rows]),
        stages_ms={"embed": np.array([row.stage_ms for row in rows])},
        probe_ms=np.array([0.5, 0.7]),
        zero_s=0.0,
        resent=0,
        most_connections=4,
        generator_cpu_share=cpu_share,
    )


def figures_of(rows: list[Row], *, load: Load = LOAD, slo: Slo | None = None, cpu_share: float = 0.1) -> Figures:
    return figures(samples_of(rows, cpu_share=cpu_share), load, slo or Slo(latency_ms=100))


def trial_of(label: str, rate: float, latency_ms: float) -> Trial:
    rows = [Row(number / rate, latency_ms, stage_ms=latency_ms / 2) for number in range(int(10 * rate))]
    return Trial(
        label=label,
        rate=rate,
        seed=1,
        figures=figures_of(rows),
        usage=Usage(cpu_cores=0.5, rss_mb_mean=200, rss_mb_max=210, source="proc"),
        server_stages_ms={},
        batch_items={"embed": 2.0},
        loop_lag_ms=None,
    )
