"""How each operation is asked: a row an operation. An operation without a row fails a test."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from tests.security.calling import NO_BODY, Body, as_form, as_json
from tests.security.guarded import Ids

QUESTION = "Where does the animal live, and what does it eat?"


class Probe(NamedTuple):
    """`body` gets the ids that also fill the path, and has those of `names`; `query` stands behind the path.

    `instead` names other ids of the same kind for the path.
    """

    body: Callable[[Ids], Body] = lambda _ids: NO_BODY
    query: str = ""
    names: frozenset[str] = frozenset()
    instead: tuple[tuple[str, str], ...] = ()

    def id_of(self, name: str) -> str:
        """Which id fills this place of the path."""
        return dict(self.instead).get(name, name)


def sends(value: Any) -> Probe:
    """JSON in which `{name}` stands for an id."""
    names = frozenset(re.findall(r"{(\w+)}", json.dumps(value)))
    return Probe(lambda ids: as_json(_filled(value, ids)), names=names)


def _filled(value: Any, ids: Ids) -> Any:
    if isinstance(value, dict):
        return {name: _filled(part, ids) for name, part in value.items()}
    if isinstance(value, list):
        return [_filled(part, ids) for part in value]
    if isinstance(value, str):
        return re.sub(r"{(\w+)}", lambda found: ids[found[1]], value)
    return value


PART = as_form({}, ("blob", b"0123456789"), field="data")
SEARCH = [{"type": "file_search", "vector_store_ids": ["{vector_store_id}"]}]
USER = [{"role": "user", "content": QUESTION}]
STORES = ["{vector_store_id}"]


def speaks(method: str, **params: Any) -> Probe:
    """A request of the Model Context Protocol."""
    return sends({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})


WORK = {
    "workHello": sends({"worker": "w", "model": "hashing-64", "fingerprint": "plain:40"}),
    "workLease": sends({"limit": 1, "wait_s": 0}),
    "workExtend": sends({"leases": []}),
    "workSettle": sends({"verdicts": []}),
    "workBegin": sends(
        {
            "worker": "w",
            "model": "hashing-64",
            "tickets": [{"job_id": "j", "store_id": "{vector_store_id}", "file_id": "{file_id}"}],
        }
    ),
    "workBeat": sends({"worker": "w", "leases": ["{file_id}"]}),
    "workEmbedding": sends({"leases": ["{file_id}"]}),
    "workGiveUp": sends({"unfinished": [{"lease": "{file_id}", "error": "probe"}]}),
    "workHandIn": Probe(lambda _ids: as_json({"finished": [], "dimension": 1, "vectors": ""})),
    "workContent": Probe(query="?lease={file_id}"),
}
"""For keys with the scope `worker`, which serve all tenants; none of these callers has one."""

PROBES: dict[str, tuple[Probe, ...]] = {
    # asking
    "createChatCompletion": (
        sends({"messages": USER, "vector_store_ids": STORES}),
        sends({"messages": USER, "vector_store_ids": ["{store_name}"]}),
        sends({"messages": USER, "vector_store_ids": STORES, "stream": True}),
        sends({"messages": USER}),
    ),
    "createResponse": (
        sends({"input": QUESTION, "tools": SEARCH, "include": ["file_search_call.results"]}),
        sends({"input": QUESTION, "tools": SEARCH, "stream": True}),
        sends({"input": QUESTION, "previous_response_id": "{response_id}"}),
        sends({"input": QUESTION, "store": False}),
    ),
    "getResponse": (Probe(), Probe(query="?include[]=file_search_call.results")),
    "listInputItems": (Probe(),),
    "createEmbedding": (sends({"model": "auto", "input": QUESTION}),),
    "createRerank": (sends({"query": QUESTION, "documents": ["One text.", "Another text."]}),),
    "createRerankV2": (sends({"query": QUESTION, "documents": ["One text.", "Another text."]}),),
    "listModels": (Probe(),),
    "retrieveModel": (Probe(),),
    # files
    "createFile": (Probe(lambda _ids: as_form({"purpose": "assistants"}, ("a.txt", b"Some text."))),),
    "listFiles": (Probe(), Probe(query="?limit=100&order=asc"), Probe(query="?after={file_id}")),
    "retrieveFile": (Probe(),),
    "downloadFile": (Probe(),),
    "createUpload": (sends({"filename": "a.txt", "purpose": "assistants", "bytes": 10, "mime_type": "text/plain"}),),
    "addUploadPart": (Probe(lambda _ids: PART),),
    # stores
    "createVectorStore": (sends({"name": "another"}), sends({"file_ids": ["{file_id}"]})),
    "listVectorStores": (Probe(), Probe(query="?limit=100&order=asc"), Probe(query="?after={vector_store_id}")),
    "getVectorStore": (Probe(),),
    "modifyVectorStore": (sends({"metadata": {"by": "probe"}}), sends({"name": "renamed"})),
    "searchVectorStore": (
        sends({"query": QUESTION}),
        sends({"query": ["minutes of the board", QUESTION], "max_num_results": 50}),
        sends({"query": QUESTION, "filters": {"type": "ne", "key": "mark", "value": "x"}}),
    ),
    # files in stores
    "createVectorStoreFile": (sends({"file_id": "{file_id}", "attributes": {"mark": "{store_name}"}}),),
    "listVectorStoreFiles": (Probe(), Probe(query="?filter=completed"), Probe(query="?after={file_id}")),
    "getVectorStoreFile": (Probe(),),
    "retrieveVectorStoreFileContent": (Probe(),),
    "createVectorStoreFileBatch": (
        sends({"file_ids": ["{file_id}"], "attributes": {"mark": "{store_name}"}}),
        sends({"files": [{"file_id": "{file_id}", "attributes": {"mark": "{store_name}"}}]}),
    ),
    "getVectorStoreFileBatch": (Probe(),),
    "cancelVectorStoreFileBatch": (Probe(),),
    "listFilesInVectorStoreBatch": (Probe(), Probe(query="?after={file_id}")),
    "mcp": (
        speaks("tools/call", name="search", arguments={"query": QUESTION, "vector_store_ids": STORES}),
        speaks("tools/call", name="ask", arguments={"question": QUESTION, "vector_store_ids": STORES}),
        speaks("tools/call", name="search", arguments={"query": QUESTION}),
        speaks("resources/list"),
        speaks("resources/read", uri="penstock:{vector_store_id}/{file_id}"),
    ),
    # the server
    "metrics": (Probe(),),
    "listEngines": (Probe(),),
    "drainReplica": (sends({"model": "llama", "replica": "http://127.0.0.1:1/v1"}),),
    "resumeReplica": (sends({"model": "llama", "replica": "http://127.0.0.1:1/v1"}),),
    "listUsage": (Probe(),),
    **{name: (probe,) for name, probe in WORK.items()},
    # what changes or ends things: their owner asks in this order
    "completeUpload": (sends({"part_ids": ["{part_id}"]}),),
    "cancelUpload": (Probe(instead=(("upload_id", "spare_upload_id"),)),),
    "deleteResponse": (Probe(),),
    "updateVectorStoreFileAttributes": (sends({"attributes": {"by": "probe"}}),),
    "deleteVectorStoreFile": (Probe(),),
    "deleteFile": (Probe(),),
    "deleteVectorStore": (Probe(),),
}
