"""`neurondb report`: what a database knows of a model, as a document for a colleague."""

from neurondb.documents.report.writing import write_report

__all__ = ["write_report"]
