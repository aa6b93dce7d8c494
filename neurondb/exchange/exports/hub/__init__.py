"""A dataset for the Hugging Face hub: Parquet by relation, and a card with its front matter."""
