-- Version 1 of the catalog. Times are Unix seconds. Every row names its tenant, and every query asks for it.
CREATE TABLE stores (
  id        TEXT PRIMARY KEY,
  tenant    TEXT NOT NULL,
  name      TEXT NOT NULL,
  embedder  TEXT NOT NULL,
  dimension INTEGER NOT NULL,
  created_s REAL NOT NULL,
  metadata  TEXT NOT NULL DEFAULT '{}',
  expires_after_days INTEGER,
  last_active_s REAL NOT NULL DEFAULT 0,
  deleting  INTEGER NOT NULL DEFAULT 0 -- 1: nobody sees it any more; its folder goes, then this row
) STRICT;

CREATE INDEX stores_by_tenant ON stores (tenant, created_s);
CREATE INDEX stores_by_name ON stores (tenant, name, created_s);

-- The ledger: one row for each file of each store, written before anything is done with the file.
CREATE TABLE store_files (
  store_id        TEXT NOT NULL REFERENCES stores (id) ON DELETE CASCADE,
  file_id         TEXT NOT NULL,
  filename        TEXT NOT NULL,
  status          TEXT NOT NULL,
  stamp           TEXT NOT NULL DEFAULT '',
  version         TEXT,
  chunks          INTEGER NOT NULL DEFAULT 0,
  pending_version TEXT,
  pending_chunks  INTEGER NOT NULL DEFAULT 0,
  size_bytes      INTEGER NOT NULL DEFAULT 0,
  attributes      TEXT NOT NULL DEFAULT '{}',
  reason          TEXT,
  error           TEXT NOT NULL DEFAULT '',
  attempts        INTEGER NOT NULL DEFAULT 0,
  groups          TEXT NOT NULL DEFAULT '[]',
  chunk_tokens    INTEGER NOT NULL DEFAULT 0,
  created_s       REAL NOT NULL,
  updated_s       REAL NOT NULL,
  PRIMARY KEY (store_id, file_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX store_files_by_status ON store_files (store_id, status);
CREATE INDEX store_files_by_age ON store_files (store_id, created_s, file_id);
CREATE INDEX store_files_by_file ON store_files (file_id);

-- Uploaded files. Their bytes lie in files/<sha256>, once, however many rows name them.
CREATE TABLE files (
  id         TEXT PRIMARY KEY,
  tenant     TEXT NOT NULL,
  filename   TEXT NOT NULL,
  purpose    TEXT NOT NULL,
  sha256     TEXT NOT NULL,
  size_bytes INTEGER NOT NULL,
  created_s  REAL NOT NULL
) STRICT;

CREATE INDEX files_by_tenant ON files (tenant, created_s);
CREATE INDEX files_by_content ON files (sha256);

-- Work that waits or runs: written with its row of the ledger, deleted when that row is at rest.
CREATE TABLE jobs (
  store_id TEXT NOT NULL,
  file_id  TEXT NOT NULL,
  due_s    REAL NOT NULL,
  tries    INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (store_id, file_id),
  FOREIGN KEY (store_id, file_id) REFERENCES store_files (store_id, file_id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE INDEX jobs_by_due ON jobs (due_s);

-- What the ledger says already and the index does not yet: finished before the caller is answered, or at the next start.
CREATE TABLE unfinished (
  store_id TEXT NOT NULL REFERENCES stores (id) ON DELETE CASCADE,
  file_id  TEXT NOT NULL,
  change   TEXT NOT NULL CHECK (change IN ('removed', 'attributes')),
  PRIMARY KEY (store_id, file_id)
) STRICT, WITHOUT ROWID;

-- Files that were attached together.
CREATE TABLE batches (
  id        TEXT PRIMARY KEY,
  store_id  TEXT NOT NULL REFERENCES stores (id) ON DELETE CASCADE,
  cancelled INTEGER NOT NULL DEFAULT 0,
  created_s REAL NOT NULL
) STRICT;

CREATE TABLE batch_files (
  batch_id TEXT NOT NULL REFERENCES batches (id) ON DELETE CASCADE,
  store_id TEXT NOT NULL,
  file_id  TEXT NOT NULL,
  PRIMARY KEY (batch_id, file_id),
  FOREIGN KEY (store_id, file_id) REFERENCES store_files (store_id, file_id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE INDEX batch_files_by_file ON batch_files (store_id, file_id);

-- API keys. Only a keyed hash is kept; the key itself was shown once.
CREATE TABLE keys (
  id        TEXT PRIMARY KEY,
  tenant    TEXT NOT NULL,
  name      TEXT NOT NULL,
  prefix    TEXT NOT NULL,
  hash      BLOB NOT NULL UNIQUE,
  scopes    TEXT NOT NULL,
  groups    TEXT NOT NULL,
  created_s REAL NOT NULL,
  expires_s REAL,
  revoked_s REAL
) STRICT;
