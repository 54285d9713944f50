"""The graph of somebody else: queries written in its names."""

from loaders.mapped._graph import MappedGraph, mapped_text

__all__ = ["MappedGraph", "mapped_text"]
