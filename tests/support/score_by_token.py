"""A small scorer: a text activates the neuron where it has the token that the explanation names."""

import json
import sys

given = json.load(sys.stdin)
token = given["explanation"].removeprefix("fires on:")
print(json.dumps([token in text["tokens"] for text in given["texts"]]))
