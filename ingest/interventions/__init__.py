"""Interventions on neurons while a model runs, and what they change (METHODS §6)."""

from ingest.interventions.hooks import Intervention, check_gated, intervene
from ingest.interventions.targets import Targets

__all__ = ["Intervention", "Targets", "check_gated", "intervene"]
