from tests.support.sample_database import sample, sample_engine

__all__ = ["sample", "sample_engine"]
