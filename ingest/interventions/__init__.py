"""Interventions on neurons while a model runs, and what they change (METHODS §6)."""

from ingest.interventions.hooks import Intervention, Targets, check_gated, intervene

__all__ = ["Intervention", "Targets", "check_gated", "intervene"]
