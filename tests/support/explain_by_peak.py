"""A small explainer: what the strongest sign case fires on most often, as JSON."""

import json
import sys

evidence = json.load(sys.stdin)
on = evidence["cases"][0]["peak_tokens"]["on"]
print(json.dumps({"explanation": f"fires on:{on[0]['token']}", "count": on[0]["count"]}))
