-- Version 1 of the catalog. Times are Unix seconds. Every row names its tenant, and every query asks for it.
CREATE TABLE stores (
  id        TEXT PRIMARY KEY,
  tenant    TEXT NOT NULL,
  name      TEXT NOT NULL,
  embedder  TEXT NOT NULL,
  dimension INTEGER NOT NULL,
  created_s REAL NOT NULL
) STRICT;

CREATE INDEX stores_by_tenant ON stores (tenant, created_s);

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
  updated_s       REAL NOT NULL,
  PRIMARY KEY (store_id, file_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX store_files_by_status ON store_files (store_id, status);
