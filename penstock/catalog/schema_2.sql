-- Version 2: answers that are kept, and uploads in parts.

-- Answers of /v1/responses, kept so that a conversation can go on. `output` is NULL once the answer was withdrawn.
CREATE TABLE responses (
  id          TEXT PRIMARY KEY,
  tenant      TEXT NOT NULL,
  groups      TEXT NOT NULL, -- of the key that asked: whoever reads it has them all
  previous_id TEXT,
  body        TEXT NOT NULL, -- the response without its output
  input       TEXT NOT NULL,
  own_input   TEXT,          -- the input without earlier answers, which may quote documents; NULL: it has none
  output      TEXT,
  created_s   REAL NOT NULL,
  expires_s   REAL NOT NULL
) STRICT;

CREATE INDEX responses_by_expiry ON responses (expires_s);

-- What an answer rests on, directly or by the answers before it in its conversation.
CREATE TABLE response_sources (
  response_id TEXT NOT NULL REFERENCES responses (id) ON DELETE CASCADE,
  store_id    TEXT NOT NULL,
  file_id     TEXT NOT NULL,
  PRIMARY KEY (response_id, store_id, file_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX response_sources_by_file ON response_sources (store_id, file_id);

-- Whatever takes a file out of a store, or puts other content in its place, takes with it, in the same transaction, what
-- was answered from it.
CREATE TRIGGER withdraw_with_file AFTER DELETE ON store_files BEGIN
  UPDATE responses SET output = NULL, input = coalesce(own_input, input) WHERE id IN (
    SELECT response_id FROM response_sources WHERE store_id = OLD.store_id AND file_id = OLD.file_id
  );
END;

CREATE TRIGGER withdraw_with_content AFTER UPDATE OF version ON store_files
WHEN OLD.version IS NOT NULL AND NEW.version IS NOT OLD.version BEGIN
  UPDATE responses SET output = NULL, input = coalesce(own_input, input) WHERE id IN (
    SELECT response_id FROM response_sources WHERE store_id = OLD.store_id AND file_id = OLD.file_id
  );
END;

-- Files that arrive in parts. The parts lie in parts/<id of the part>, until they are put together or given up.
CREATE TABLE uploads (
  id         TEXT PRIMARY KEY,
  tenant     TEXT NOT NULL,
  filename   TEXT NOT NULL,
  purpose    TEXT NOT NULL,
  mime_type  TEXT NOT NULL,
  size_bytes INTEGER NOT NULL,
  status     TEXT NOT NULL CHECK (status IN ('pending', 'completed', 'cancelled')),
  file_id    TEXT,
  created_s  REAL NOT NULL,
  expires_s  REAL NOT NULL
) STRICT;

CREATE INDEX uploads_by_expiry ON uploads (status, expires_s);

CREATE TABLE upload_parts (
  id         TEXT PRIMARY KEY,
  upload_id  TEXT NOT NULL REFERENCES uploads (id) ON DELETE CASCADE,
  size_bytes INTEGER NOT NULL,
  created_s  REAL NOT NULL
) STRICT;

CREATE INDEX upload_parts_by_upload ON upload_parts (upload_id);
