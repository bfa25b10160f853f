-- Version 3 of the catalog: how urgent a key's requests are, and which rates are its own.
ALTER TABLE keys ADD COLUMN priority TEXT NOT NULL DEFAULT 'interactive';
ALTER TABLE keys ADD COLUMN allowance TEXT NOT NULL DEFAULT '{}';
