"""What each key and tenant may use: requests, tokens, streams at a time. In process, or in Redis for all gateways."""
