-- Version 4: a job has a name for the queue, says whether the queue has it, and who works on it until when.
ALTER TABLE store_files ADD COLUMN worker TEXT NOT NULL DEFAULT '';

DROP INDEX jobs_by_due;
ALTER TABLE jobs RENAME TO jobs_3;

CREATE TABLE jobs (
  store_id TEXT NOT NULL,
  file_id  TEXT NOT NULL,
  id       TEXT NOT NULL UNIQUE, -- a new one each time that a file is attached
  due_s    REAL NOT NULL,        -- not to be begun before
  tries    INTEGER NOT NULL DEFAULT 0, -- that went wrong
  sent_s   REAL,                 -- when the queue took it; NULL: it is still to be carried there
  lease    TEXT UNIQUE,          -- of the worker that has it
  worker   TEXT NOT NULL DEFAULT '',
  leased_until_s REAL,           -- unless it is heard of before
  PRIMARY KEY (store_id, file_id),
  FOREIGN KEY (store_id, file_id) REFERENCES store_files (store_id, file_id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

INSERT INTO jobs (store_id, file_id, id, due_s, tries)
  SELECT store_id, file_id, lower(hex(randomblob(12))), due_s, tries FROM jobs_3;
DROP TABLE jobs_3;

CREATE INDEX jobs_unsent ON jobs (due_s) WHERE sent_s IS NULL;
CREATE INDEX jobs_leased ON jobs (leased_until_s) WHERE lease IS NOT NULL;
