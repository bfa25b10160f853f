"""`penstock bench serve`: puts load on a server and says how it held."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
import uvloop
from rich.console import Console

from penstock.bench.figures import Slo
from penstock.bench.load import ARRIVALS, KINDS, LENGTHS, Load, Stream, read_numbers, read_scenario, read_shares
from penstock.bench.pictures import draw
from penstock.bench.questions import built_in, read_questions
from penstock.bench.rig import Experiment, Rig
from penstock.bench.tables import line, show
from penstock.bench.trial import Trial
from penstock.core.errors import BadSetting, InvalidRequest, PenstockError, Setup

app = typer.Typer(no_args_is_help=True, help="Put load on a server, and see how it holds.")

File = Path | None
URL = typer.Option("--url", help="A server that runs: http://127.0.0.1:8000.")
DATA = typer.Option("--data", help="Instead: start a server over this folder, on a free port.")
CONFIG = typer.Option("--config", help="Settings of that server (TOML).")
AGAINST = typer.Option("--against", help="Other settings, to compare: A/B/A by turns.")
ARRIVING = typer.Option("--arrivals", help=f"One of {', '.join(ARRIVALS)}.")
RATE = typer.Option("--rate", help="Requests a second, on average.")
RATES = typer.Option("--rates", help="A sweep: 50,100,200,400.")
CAPACITY = typer.Option("--find-capacity", help="Search for the highest rate that meets the SLO.")
CALLERS = typer.Option("--callers", help="With --arrivals closed: how many.")
BURST = typer.Option("--burst", help="With --arrivals bursts: seconds on, seconds off.")
TRACE = typer.Option("--trace", help="Recorded arrivals: RAGPulse's JSON Lines, or an Azure CSV.")
SPEED = typer.Option("--speed", help="How much faster than recorded; 0: so that it gives --rate.")
SCENARIO = typer.Option("--scenario", help="Several streams at once (TOML), instead of the options from --arrivals on.")
SENT = typer.Option("--kinds", help=f"Shares of {', '.join(KINDS)}: search=3,stream=1.")
LONG = typer.Option("--lengths", help=f"Shares of {', '.join(LENGTHS)} questions.")
QUESTIONS = typer.Option("--questions", help="A queries.jsonl in BEIR's form, also gzipped.")
KEY = typer.Option("--key-env", help="The variable that holds the API key.")
STORE = typer.Option("--store", help="Store to search; else the largest.")
MODEL = typer.Option("--model", help="Model to ask; else the server chooses.")
SECONDS = typer.Option("--seconds", min=0.1, help="The counted part of each run.")
WARMUP = typer.Option("--warmup", min=0.0, help="Seconds before that, which are not counted.")
REPEATS = typer.Option("--repeats", min=1, help="Of everything.")
SEED = typer.Option("--seed", min=0, help="Of arrivals and questions.")
SLO_MS = typer.Option("--slo-ms", help="An answer within this is a good one.")
SLO_FIRST = typer.Option("--slo-first-token-ms", help="Judge streams by their first token.")
SLO_SHARE = typer.Option("--slo-share", min=0.0, max=1.0, help="Of good ones, for a load to count as carried.")
GIVE_UP = typer.Option("--give-up", help="Seconds after which a missing answer is a failure.")
PIN = typer.Option("--pin", help="Give the generator a core of its own.")
JSON = typer.Option("--json", help="Write everything here.")
PICTURES = typer.Option("--pictures", help="Draw latency and goodput into this folder (SVG).")


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """The command's options, by the names of its parameters."""

    url: str
    data: File
    config: File
    against: File
    arrivals: str
    rate: float
    rates: str
    find_capacity: bool
    callers: int
    burst: str
    trace: str
    speed: float
    scenario: File
    kinds: str
    lengths: str
    questions: File
    key_env: str
    store: str
    model: str
    seconds: float
    warmup: float
    repeats: int
    seed: int
    slo_ms: float
    slo_first_token_ms: float | None
    slo_share: float
    give_up: float
    pin: bool
    json_file: File
    pictures: File

    def experiment(self) -> Experiment:
        """Raises InvalidRequest."""
        load = Load(streams=self._streams(), duration_s=self.seconds, warmup_s=self.warmup, seed=self.seed)
        return Experiment(
            load=load,
            questions=read_questions(self.questions) if self.questions else built_in(),
            slo=Slo(latency_ms=self.slo_ms, first_token_ms=self.slo_first_token_ms, share=self.slo_share),
            url=self.url,
            data=self.data,
            config=self.config,
            against=self.against,
            store=self.store,
            model=self.model,
            rates=read_numbers(self.rates, name="--rates"),
            find_capacity=self.find_capacity,
            repeats=self.repeats,
            pin=self.pin,
            give_up_s=self.give_up,
        )

    def _streams(self) -> tuple[Stream, ...]:
        if self.scenario:
            return read_scenario(self.scenario)
        burst_s = read_numbers(self.burst, name="--burst")
        if len(burst_s) != 2:
            raise InvalidRequest("--burst takes two numbers: seconds on, seconds off, as in 1,4.")
        described: dict[str, Any] = {
            "arrivals": "trace" if self.trace else self.arrivals,
            "rate": self.rate,
            "callers": self.callers,
            "burst_on_s": burst_s[0],
            "burst_off_s": burst_s[1],
            "trace": self.trace,
            "speed": self.speed,
            "kinds": read_shares(self.kinds, KINDS),
            "lengths": read_shares(self.lengths, LENGTHS),
            "key_env": self.key_env,
        }
        try:
            return (msgspec.convert(described, Stream),)
        except msgspec.ValidationError as error:
            raise InvalidRequest(f"The load is wrong: {error}.") from error


@app.callback()
def bench() -> None:
    """Put load on a server, and see how it holds."""


@app.command("serve")
def serve_command(
    url: Annotated[str, URL] = "",
    data: Annotated[File, DATA] = None,
    config: Annotated[File, CONFIG] = None,
    against: Annotated[File, AGAINST] = None,
    arrivals: Annotated[str, ARRIVING] = "poisson",
    rate: Annotated[float, RATE] = 10.0,
    rates: Annotated[str, RATES] = "",
    find_capacity: Annotated[bool, CAPACITY] = False,
    callers: Annotated[int, CALLERS] = 8,
    burst: Annotated[str, BURST] = "1,4",
    trace: Annotated[str, TRACE] = "",
    speed: Annotated[float, SPEED] = 0.0,
    scenario: Annotated[File, SCENARIO] = None,
    kinds: Annotated[str, SENT] = "search",
    lengths: Annotated[str, LONG] = "short,medium,long",
    questions: Annotated[File, QUESTIONS] = None,
    key_env: Annotated[str, KEY] = "",
    store: Annotated[str, STORE] = "",
    model: Annotated[str, MODEL] = "",
    seconds: Annotated[float, SECONDS] = 10.0,
    warmup: Annotated[float, WARMUP] = 2.0,
    repeats: Annotated[int, REPEATS] = 1,
    seed: Annotated[int, SEED] = 1,
    slo_ms: Annotated[float, SLO_MS] = 1000.0,
    slo_first_token_ms: Annotated[float | None, SLO_FIRST] = None,
    slo_share: Annotated[float, SLO_SHARE] = 0.99,
    give_up: Annotated[float, GIVE_UP] = 30.0,
    pin: Annotated[bool, PIN] = False,
    json_file: Annotated[File, JSON] = None,
    pictures: Annotated[File, PICTURES] = None,
) -> None:
    """Put load on a server and say how it held: latency, goodput, refusals, stages, CPU and memory.

    Requests come when they are due, whether or not the server keeps up (but for closed loops).

        penstock bench serve --data data --rates 25,50,100,200 --pictures out/
    """
    options = Options(**locals())  # one parameter each, by the same names
    try:
        code = _run(options)
    except PenstockError as error:
        typer.secho(f"penstock: {error.message}", err=True)
        wrong_usage = isinstance(error, BadSetting | InvalidRequest)
        code = 2 if wrong_usage else 3 if isinstance(error, Setup) else 1
    except KeyboardInterrupt:
        code = 130
    raise typer.Exit(code)


def _run(options: Options) -> int:
    """Exit code 1 when nothing at all was answered."""
    progress = Console(stderr=True)

    def said(trial: Trial) -> None:
        progress.print(line(trial), highlight=False)

    report = uvloop.run(Rig(experiment=options.experiment(), report=said).run())
    show(report, Console(file=sys.stdout))
    if options.json_file:
        options.json_file.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2))
    for path in draw(report, options.pictures) if options.pictures else ():
        progress.print(f"Drawn: {path}", highlight=False)
    return 0 if any(trial.figures.served.ok for trial in report.trials) else 1
