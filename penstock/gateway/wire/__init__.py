"""What goes over the wire, in OpenAI's words: one file per resource. Structs only; no behaviour of ours behind them."""
