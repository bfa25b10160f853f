"""Where stages live: in this process, or beside it."""
