"""The whole settings tree. settings.py reads it: defaults, a TOML file, the environment, the command line."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

PositiveInt = Annotated[int, Meta(ge=1)]
PositiveFloat = Annotated[float, Meta(gt=0)]
Share = Annotated[float, Meta(ge=0, le=1)]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all sections: immutable, by keyword, unknown keys refused."""


class ServerSettings(Section, frozen=True):
    """Where and how the gateway listens."""

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8000
    request_timeout_s: PositiveFloat = 30.0
    """Deadline of a request that names none."""
    max_timeout_s: PositiveFloat = 300.0
    """No caller's deadline goes beyond this."""
    max_body_bytes: PositiveInt = 4 * 1024 * 1024
    header_timeout_s: PositiveFloat = 10.0
    """A connection whose request's head is not there by then is cut."""
    body_timeout_s: PositiveFloat = 25.0
    """A request whose body is not there by then is answered with 408."""
    reader_timeout_s: PositiveFloat = 30.0
    """A caller who does not read what was sent for so long is cut."""
    silent_peer_s: Annotated[int, Meta(ge=1, le=3600)] = 30
    """A caller whose machine acknowledges nothing for so long has vanished, and its request ends."""
    heartbeat_s: PositiveFloat = 15.0
    """A stream that has nothing to say for so long sends a comment, which readers skip and proxies count as life."""
    keep_alive_s: PositiveFloat = 30.0
    """How long an idle connection is kept for its next request."""
    drain_s: Annotated[float, Meta(ge=0)] = 0.0
    """After a stop signal, how long to say `not ready` before sockets close: time for a load balancer to notice."""
    shutdown_timeout_s: PositiveFloat = 10.0
    """How long running answers may take to finish after a stop signal."""
    max_question_chars: PositiveInt = 8_000
    keep_responses_days: Annotated[int, Meta(ge=0, le=3650)] = 30
    """How long answers of /v1/responses are kept to go on from; 0: not at all."""
    example_question: str = ""
    """Filled in on the page, for a first try; empty: one that the documents answer."""


class CatalogSettings(Section, frozen=True):
    """The metadata database."""

    busy_timeout_s: PositiveFloat = 10.0


class EmbedSettings(Section, frozen=True):
    """The built-in encoder."""

    model: str = "sentence-transformers/all-MiniLM-L6-v2"
    """A name on the model hub, or the path of a folder that holds the model."""
    revision: str = ""
    """Commit, tag or branch on the hub; empty: its main branch."""
    next: str = ""
    """The model to which all stores are to move. It is loaded beside `model`; the server encodes the stores anew in the
    background, and each answers with it once it is complete. When all have moved, make it `model` and empty this."""
    next_revision: str = ""
    """Commit, tag or branch of `next`."""
    precision: Literal["auto", "fp32", "bf16", "int8"] = "auto"
    """auto: bf16 where the CPU computes in it, else fp32. int8 changes the vectors a little, and may be faster on a CPU
    with int8 dot products."""
    batch_tokens: PositiveInt = 1_024
    """Texts go through the encoder together up to so many tokens, padding included."""
    threads: Annotated[int, Meta(ge=0)] = 0
    """0: one for each core."""
    max_tokens: Annotated[int, Meta(ge=0)] = 0
    """Longer texts are cut here. 0: the model's own window; never more than that."""
    pad_to: PositiveInt = 8
    """Texts are padded to a multiple of so many tokens, as a batch of a shape that is new to the encoder costs double.
    1: only to the longest of a batch."""
    documents_give_way: bool = True
    """Documents are encoded only on cores that nothing else wants (Linux), so that questions hardly feel an ingestion.
    Turn it off where other programs keep all cores busy and documents must go on all the same."""
    connect_timeout_s: PositiveFloat = 5.0
    """A model hub that is silent for so long is given up."""


class SearchSettings(Section, frozen=True):
    """How a vector store is searched and kept."""

    threads: Annotated[int, Meta(ge=0)] = 0
    """Searches that run at once in one store; 0 means one per CPU core."""
    fusion: Literal["scores", "ranks"] = "scores"
    """How meaning and words are put together: by their scores, or by reciprocal ranks (k = 60)."""
    dense_weight: Share = 0.55
    """Share of meaning in a hit's score; the rest is words. Only for fusion "scores"."""
    candidates: Annotated[int, Meta(ge=1, le=1000)] = 30
    """Chunks that meaning and words each bring forward before they are put together."""
    vector_bits: Literal[8, 16] = 8
    """How finely new stores keep each number of a vector. 8 halves the time and memory of 16 and finds the same
    but for 4 in 1,000 of the ten nearest; 16 is exact for all that cosines are good for."""
    language: str = "english"
    """Stop words and word stems of new stores."""
    min_free_bytes: PositiveInt = 128 * 1024 * 1024
    """Writing stops, with an error, when the disk has less left than this."""


class RerankSettings(Section, frozen=True):
    """A model that reads question and passage together and puts what was found in a better order.

    Without `model` and `url` there is no such stage, and `/v1/rerank` compares by the built-in encoder and by words.
    """

    model: str = ""
    """A cross-encoder to run on this machine: a folder, or its name on the model hub. With `url`: its name there."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Of a cross-encoder on this machine. auto: bf16 where the CPU computes in it, else fp32."""
    url: str = ""
    """A server's rerank endpoint, whole: `http://gpu:8000/v1/rerank`."""
    api: Literal["cohere", "tei"] = "cohere"
    """What the server speaks: Cohere's shape (Cohere, vLLM, Jina), or that of text-embeddings-inference."""
    key_env: str = ""
    """The environment variable that holds the server's API key."""
    candidates: Annotated[int, Meta(ge=2, le=32)] = 20
    """How many of the best found are read again."""
    timeout_s: PositiveFloat = 1.0
    """A question waits no longer for its better order; then it goes on with the one it has, and says so."""


class DegradeSettings(Section, frozen=True):
    """What a question gives up, step by step, when its time is short or the server is under pressure.

    Pressure is 0 when idle and 1 when every place is taken; those who wait come on top. The steps are taken in this
    order, and each answer names those that were.
    """

    enabled: bool = True
    rerank_pressure: PositiveFloat = 0.8
    """From here on what was found is not put in a better order."""
    passages_pressure: PositiveFloat = 0.9
    """From here on an answer rests on `passages` passages."""
    length_pressure: PositiveFloat = 1.0
    """From here on an answer of a language model has at most `answer_tokens` tokens."""
    model_pressure: PositiveFloat = 1.1
    """From here on `auto` takes the cheapest model, whatever the question."""
    extractive_pressure: PositiveFloat = 1.5
    """From here on `auto` quotes sentences and asks no language model."""
    passages: PositiveInt = 3
    answer_tokens: PositiveInt = 128


class ExtractiveSettings(Section, frozen=True):
    """The built-in engine that answers without a language model."""

    max_sentences: Annotated[int, Meta(ge=1, le=10)] = 3
    abstain_below: Share = 0.5
    """Below this probability that the passages answer the question, it says that it found nothing."""


class EngineSettings(Section, frozen=True):
    """One language model, in a `[[generate.engines]]` of the settings file."""

    model: str
    """The name by which callers ask for it."""
    urls: tuple[str, ...] = ()
    """OpenAI-compatible servers that run it, each up to `/v1`."""
    local: str = ""
    """Instead of servers: a folder with an OpenVINO export, or its name on the model hub."""
    upstream_model: str = ""
    """Its name at the servers, where that is another."""
    key_env: str = ""
    """The environment variable that holds the API keys, with commas between several."""
    key_file: str = ""
    """Instead: a file with an API key a line. It is read again when the settings are."""
    api: Literal["chat", "completions"] = "chat"
    streamed: bool = True
    ask_usage: bool = True
    """Ask for token counts in streams; some old servers refuse that."""
    limit_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    connect_timeout_s: PositiveFloat = 5.0
    first_token_timeout_s: PositiveFloat = 60.0
    between_tokens_timeout_s: PositiveFloat = 20.0
    max_in_flight: PositiveInt | None = None
    """Answers under way together at each server, such as vLLM's --max-num-seqs; who comes then waits his turn, or is
    answered by a fallback. Left out: all are sent on."""
    hedged: bool = False
    """Ask a second server when the first token is unusually late."""
    probe_every_s: Annotated[float, Meta(ge=0)] | None = None
    """How often each server is asked for its models, as a sign of life; 0: never. Left out: .5, with API keys 15."""
    fallback: tuple[str, ...] = ()
    """Engines that answer, in this order, where this one cannot. The extractive engine comes after them in any case."""
    draft: str = ""
    """For `local`, like those up to `sequences`: a small model of the same vocabulary that guesses ahead."""
    draft_tokens: PositiveInt = 4
    """So many at a time."""
    device: str = "CPU"
    """Or GPU, an Intel one."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """auto: what the device is fastest in. In bf16 nearly equal words may change places with what is computed beside
    them, so that the same question does not always get the same answer."""
    cache_gb: PositiveInt = 1
    """Memory for attention's keys and values."""
    prefix_caching: bool = True
    """Keep those of prompts' beginnings, for prompts that begin alike."""
    step_tokens: Annotated[int, Meta(ge=16)] = 512
    """Tokens of prompts and answers in one step; longer prompts are split over steps."""
    sequences: PositiveInt = 128
    """Answers under way together at the most; others wait."""
    context_tokens: Annotated[int, Meta(ge=512)] = 8_192
    tokenizer: str = ""
    """Path of the model's tokenizer.json; without it tokens are estimated."""
    level: Share = 0.5
    """The complexity of questions up to which `auto` trusts it."""
    price_prompt: Annotated[float, Meta(ge=0)] = 0.0
    """Per million tokens, like the next two."""
    price_cached: Annotated[float, Meta(ge=0)] = 0.0
    price_output: Annotated[float, Meta(ge=0)] = 0.0


class SplitSettings(Section, frozen=True):
    """A name under which several engines share the requests, in a `[[generate.splits]]`."""

    model: str
    weights: dict[str, Annotated[float, Meta(gt=0)]]


class GenerateSettings(Section, frozen=True):
    """Language models. Without engines the extractive engine answers everything."""

    engines: tuple[EngineSettings, ...] = ()
    splits: tuple[SplitSettings, ...] = ()
    fusion: Literal["concatenate", "select", "weighted"] = "concatenate"
    """How passages are put into a prompt."""
    passage_tokens: Annotated[int, Meta(ge=32)] = 512
    """Longer passages are cut after a sentence."""
    conversation_tokens: Annotated[int, Meta(ge=0)] = 1_024
    """Older turns are condensed to so much."""
    templates: str = ""
    """A folder with instructions.txt and examples.txt, and folders of the same named after stores' ids."""
    tick_ms: Annotated[float, Meta(ge=0, le=1000)] = 10.0
    """After an answer's first token, those that come within so long leave together; from 100 streams on the time grows,
    up to 100 ms. 0: each token at once, at a higher cost."""
    delimiter_key_env: str = ""
    """The environment variable with the secret of the passages' delimiter; without it, a new one at each start."""


class IngestSettings(Section, frozen=True):
    """How documents are read and split."""

    chunk_tokens: Annotated[int, Meta(ge=32, le=8192)] = 256
    """Budget of a passage in the encoder's tokens, its title and headings included. Not above the encoder's window."""
    merge_below_tokens: Annotated[int, Meta(ge=0)] = 48
    """A section shorter than this is put together with its neighbours."""
    language: str = "en"
    """Language of sentence ends, as a two-letter code; many languages share these rules."""
    max_file_bytes: PositiveInt = 100 * 1024 * 1024
    """Larger files are refused by name."""
    parse_timeout_s: PositiveFloat = 30.0
    """A file that takes longer to read fails with reason `timeout`."""
    parse_memory_bytes: Annotated[int, Meta(ge=128 * 1024 * 1024)] = 512 * 1024 * 1024
    """Memory of the process that reads a file, its program included; over it, the file fails with reason `memory`."""
    parse_workers: PositiveInt = 2
    """Files read at the same time."""
    reuse_vectors: bool = True
    """A text that a store holds already is not encoded again: unchanged passages of a changed file, copies, renames.
    Takes some 400 bytes of memory a passage."""
    url_hosts: tuple[str, ...] = ()
    """Where documents may be fetched from though it is not public: `wiki.corp`, `wiki.corp:8080`, `10.1.0.0/16`."""
    url_ports: tuple[Annotated[int, Meta(ge=1, le=65535)], ...] = (80, 443)
    """Ports from which documents may be fetched."""
    url_max_bytes: PositiveInt = 10 * 1024 * 1024
    """More than this is not fetched from a URL."""
    url_timeout_s: PositiveFloat = 10.0
    """A document that has not come by then, redirects and all, has failed."""
    isolate_every_file: bool = False
    """A process of its own for small text and Markdown files too. Some milliseconds more for each."""
    ocr: Literal["off", "scans"] = "off"
    """scans: pages of PDFs without text, and pictures, are read by Tesseract (OCR). Needs the extra `ocr`."""
    ocr_languages: Annotated[tuple[Annotated[str, Meta(pattern=r"^\w+$")], ...], Meta(min_length=1)] = ("eng",)
    """What scans are written in, by Tesseract's names: `eng`, `deu`, `chi_sim`. Each one more takes longer."""
    ocr_data: str = ""
    """The folder with a `….traineddata` for each language; empty: where the system's packages put them."""
    ocr_max_pages: PositiveInt = 200
    """Scanned pages of one file. A file of more fails with reason `too_large`, unless other pages of it have text."""
    ocr_wall_s: PositiveFloat = 900.0
    """The most that OCR of one file may take, beside `parse_timeout_s`; 15 s for each page where that is less."""


class QueueSettings(Section, frozen=True):
    """How uploaded files come to the workers that read them."""

    backend: Literal["sqlite", "nats", "rabbitmq", "redis"] = "sqlite"
    """sqlite: in the catalog, no other service; workers beside the server ask it over HTTP. The others are brokers."""
    url: str = ""
    """The broker's, without a password: nats://host:4222, amqp://host:5672/vhost, redis://host:6379/0."""
    url_env: str = ""
    """Instead of `url`: the environment variable that holds it, with its password."""
    name: str = "penstock"
    """Begins the names of streams and queues at the broker; servers that share a broker need different ones."""
    lease_s: Annotated[float, Meta(ge=1)] = 30.0
    """A worker that is not heard of for so long is given up, and its files go to others."""
    inside_workers: Annotated[int, Meta(ge=0, le=16)] = 2
    """Groups of files that the server itself works on at once; 0: only workers beside it do."""
    max_backlog: PositiveInt = 100_000
    """While so many files wait, no more are accepted: 503 with Retry-After."""


class WorkerSettings(Section, frozen=True):
    """A worker beside the server (`penstock worker`)."""

    server: str = "http://127.0.0.1:8000"
    """The server that it works for."""
    key_env: str = "PENSTOCK_API_KEY"
    """The environment variable that holds its API key, which needs the scope `worker`."""
    groups: Annotated[int, Meta(ge=1, le=16)] = 2
    """Groups of files that it works on at once."""


class FlowSettings(Section, frozen=True):
    """How many requests are served at once, and who waits."""

    admission: bool = True
    """Turn requests away early when they could not be served in time. Off: all come in, and all get slower."""
    batching: bool = True
    """Questions that come at the same time share passes of the encoder and of the index. Off: one after another."""
    single_flight: bool = True
    """The same question asked by several at once is encoded once. Off: for each."""
    search_latency_s: PositiveFloat = 0.05
    """A search that takes no longer than this is content; the number let in together follows what is above it."""
    max_searches: PositiveInt = 1_024
    """Searches let in together at the most."""
    answer_latency_s: PositiveFloat = 0.1
    """The same for answers, up to their first word."""
    max_answers: PositiveInt = 256
    """Answers under way together at the most."""
    wait_s: PositiveFloat = 0.03
    """How long a search or an answer may wait for a place before it is turned away; longer where it takes longer."""
    patience_s: PositiveFloat = 10.0
    """The same for requests whose key says `batch` or `ingestion`."""


class LimitSettings(Section, frozen=True):
    """What tenants and keys may use. 0: without limit. `penstock keys create` can give a key limits of its own."""

    requests_per_minute: Annotated[float, Meta(ge=0)] = 0.0
    """Of a tenant, all its keys together."""
    tokens_per_minute: Annotated[float, Meta(ge=0)] = 0.0
    """Likewise: of questions, prompts and answers."""
    streams: Annotated[int, Meta(ge=0)] = 0
    """Likewise: streamed answers open at the same time."""
    key_requests_per_minute: Annotated[float, Meta(ge=0)] = 0.0
    """Of each key, like the next two."""
    key_tokens_per_minute: Annotated[float, Meta(ge=0)] = 0.0
    key_streams: Annotated[int, Meta(ge=0)] = 0
    burst_s: PositiveFloat = 2.0
    """So many seconds' worth may come at once."""
    redis_url_env: str = ""
    """The environment variable with the URL of a Redis in which several gateways count together. Needs the extra
    `redis`. When it is away, each gateway gives its own part."""
    gateways: PositiveInt = 1
    """How many gateways count in that Redis."""


class LogSettings(Section, frozen=True):
    """What is said on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "warning"
    json_lines: bool = False


class Settings(Section, frozen=True):
    """Everything that can be set, by section."""

    data_dir: str = "data"
    server: ServerSettings = ServerSettings()
    catalog: CatalogSettings = CatalogSettings()
    ingest: IngestSettings = IngestSettings()
    flow: FlowSettings = FlowSettings()
    limits: LimitSettings = LimitSettings()
    log: LogSettings = LogSettings()
    search: SearchSettings = SearchSettings()
    embed: EmbedSettings = EmbedSettings()
    rerank: RerankSettings = RerankSettings()
    degrade: DegradeSettings = DegradeSettings()
    generate: GenerateSettings = GenerateSettings()
    extractive: ExtractiveSettings = ExtractiveSettings()
    queue: QueueSettings = QueueSettings()
    worker: WorkerSettings = WorkerSettings()
