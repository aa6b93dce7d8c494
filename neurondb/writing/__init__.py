"""Records → rows: idempotent, in bulk, each finished step together with its ledger row."""
