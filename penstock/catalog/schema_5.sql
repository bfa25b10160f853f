-- Version 5 of the catalog: what tenants used of language models, by day (UTC).
CREATE TABLE usage (
  tenant        TEXT NOT NULL,
  day           TEXT NOT NULL, -- 2026-11-26
  model         TEXT NOT NULL,
  requests      INTEGER NOT NULL,
  broken        INTEGER NOT NULL,
  prompt        INTEGER NOT NULL,
  cached        INTEGER NOT NULL,
  output        INTEGER NOT NULL,
  price         REAL NOT NULL,
  spoken        INTEGER NOT NULL, -- requests in which a first token came
  first_token_s REAL NOT NULL,    -- the sum of their times to it
  speaking_s    REAL NOT NULL,    -- and from it on
  PRIMARY KEY (tenant, day, model)
) STRICT, WITHOUT ROWID;
