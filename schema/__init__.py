"""The document schema."""
