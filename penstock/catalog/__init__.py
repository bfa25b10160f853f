"""The metadata database: stores, files and the ledger of their states."""
