"""Experiments: who gets which variant, which is better, what another blend would have earned."""
