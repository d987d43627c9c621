"""Take records out of a run: by training again what saw them, or, without any guarantee, by training against them."""
