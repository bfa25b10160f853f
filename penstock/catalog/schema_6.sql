-- Version 6 of the catalog: what is asked for by an id of somebody else's is looked for just as what does not exist. With
-- the primary key alone a foreign row is found first and refused then, which takes a microsecond longer.
CREATE INDEX stores_by_owner ON stores (tenant, id);
CREATE INDEX files_by_owner ON files (tenant, id);
CREATE INDEX responses_by_owner ON responses (tenant, id);
CREATE INDEX uploads_by_owner ON uploads (tenant, id);
