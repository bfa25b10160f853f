#!/usr/bin/env bash
# Plain HTTP. With keys, add: -H "Authorization: Bearer $PENSTOCK_KEY"
set -euo pipefail
url=${PENSTOCK_URL:-http://127.0.0.1:8000}
json='Content-Type: application/json'

# The passages that fit best.
curl -sf "$url/v1/vector_stores/handbook/search" -H "$json" -d '{"query": "lost laptop", "max_num_results": 1}'
echo

# An answer, word by word.
curl -sfN "$url/v1/chat/completions" -H "$json" \
  -d '{"stream": true, "messages": [{"role": "user", "content": "Within which time is a lost laptop reported?"}]}'

# Texts of your own, in the order of how well they fit.
curl -sf "$url/v1/rerank" -H "$json" \
  -d '{"query": "hotel", "documents": ["Trains are booked in second class.", "A hotel may cost 140 euros."], "top_n": 1}'
echo
