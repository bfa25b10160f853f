"""Durable queues of jobs: in the catalog's SQLite file, or in a broker. Chosen by `queue.backend`."""
