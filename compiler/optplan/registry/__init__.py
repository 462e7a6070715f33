"""Optimizers and policies of one's own: what defines them, the schema with them, and where installed ones are found."""
