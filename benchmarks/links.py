"""MRR and Hits@10 of held-out links, ours beside those of PyG's `nn.kge`, on Last.fm.

    python benchmarks/links.py [MODEL …] [--epochs N] [--seconds N] [--seed N] [--data DIR]

The graph is listens, friendships, and tags with the artists that have them. Up to 2,000 links of
each relation are held out, as by `recsvc links`. Ours are trained with their defaults, for as many
epochs as a validation part of the listens says, N at most. PyG's models have the same number of
dimensions, the loss of their class, Adam with a step size of 0.01 and batches of 4,096 facts, with
another draw of one negative for each; they are trained for as many seconds, or for N.
"""

import argparse
import math
import time
import warnings
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from _environment import describe

with warnings.catch_warnings():
    # PyG compiles with torch.jit.script as it is imported, which this torch calls deprecated.
    warnings.filterwarnings("ignore", message=".*torch.jit")
    from torch_geometric.nn import ComplEx, DistMult, TransE
    from torch_geometric.nn.kge import KGEModel

from benchmarks._accuracy_data import DATA, LASTFM
from loaders.datasets import open_source
from loaders.tables import graph_from_tables
from recsvc.evaluation.links import (
    LinkMetrics,
    Links,
    LinkScores,
    filtered_ranks,
    frequency_scores,
    hold_out_links,
    link_metrics,
    links_of,
)
from recsvc.event_kinds import speaking_kinds
from recsvc.models import FitRun
from recsvc.models.complex import ComplExModel
from recsvc.models.distmult import DistMultModel
from recsvc.models.transe import TransEModel
from recsvc.settings import load_settings
from recsvc.training.fit import model_options
from recsvc.training.links import find_links

KINDS = {"transe": TransEModel, "distmult": DistMultModel, "complex": ComplExModel}
DIMENSIONS, FACTS_AT_ONCE, RATE = 64, 4096, 0.01


def main() -> None:
    """Train, rank, and print a line for each model and relation."""
    options = _arguments()
    torch.manual_seed(options.seed)  # PyG draws from torch's own state
    print(describe(), flush=True)
    events = load_settings().events
    source = open_source("lastfm", options.data / LASTFM)
    graph = graph_from_tables(source, lambda rejected: None)
    links = links_of(graph, speaking_kinds(graph.interactions.events, events))
    held_out = hold_out_links(links, options.seed)
    print(f"{len(links):,} links of {links.nodes:,} nodes, {held_out.sum():,} held out", flush=True)
    _show("by frequency", 0.0, _measured(frequency_scores(links.take(~held_out)), links, held_out))
    chosen = {"epochs": options.epochs} if options.epochs else {}
    for name in options.models:
        run = FitRun(options.seed)
        found = find_links(name, graph, events, model_options(name, chosen), run)
        _show(f"{name}, {found.epochs} epochs", found.seconds, found.metrics)
        seconds = options.seconds or found.seconds
        theirs, epochs = _pyg(name, links.take(~held_out), seconds)
        _show(f"PyG {name}, {epochs} epochs", seconds, _measured(theirs, links, held_out))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="*", default=list(KINDS), metavar="MODEL")
    parser.add_argument("--epochs", type=int, help="of ours at most")
    parser.add_argument("--seconds", type=float, help="of PyG's training")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, default=DATA)
    return parser.parse_args()


def _measured(score: LinkScores, links: Links, held_out: np.ndarray) -> dict[str, LinkMetrics]:
    ranks = filtered_ranks(score, links, held_out)
    return link_metrics(ranks, links.relation[held_out], links.relations)


def _pyg(name: str, left: Links, seconds: float) -> tuple[LinkScores, int]:
    """Train PyG's model; its scores, and how many epochs there were."""
    sizes = left.nodes, len(left.relations)
    model: KGEModel = {
        "transe": lambda: TransE(*sizes, DIMENSIONS, p_norm=2.0),
        "distmult": lambda: DistMult(*sizes, DIMENSIONS),
        "complex": lambda: ComplEx(*sizes, DIMENSIONS // 2),
    }[name]()
    facts = [torch.from_numpy(part) for part in (left.head, left.relation, left.tail)]
    optimizer = torch.optim.Adam(model.parameters(), RATE)
    started, epochs = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        for part in torch.randperm(len(left)).split(FACTS_AT_ONCE):
            optimizer.zero_grad()
            model.loss(*(column[part] for column in facts)).backward()
            optimizer.step()
        epochs += 1
    return _scores(name, model), epochs


def _scores(name: str, model: KGEModel) -> LinkScores:
    """What PyG's vectors say: the inner products rank as its own scores do, see test_triples.py."""
    nodes, relations = model.node_emb.weight.detach(), model.rel_emb.weight.detach()
    if isinstance(model, TransE):
        nodes = torch.nn.functional.normalize(nodes)
    if isinstance(model, ComplEx):
        nodes = torch.cat([nodes, model.node_emb_im.weight.detach()], dim=1)
        relations = torch.cat([relations, model.rel_emb_im.weight.detach()], dim=1)
    nothing = np.empty((0, nodes.shape[1]), np.float32)
    kind = KINDS[name]
    own = kind(name, nothing, nothing, nothing, nodes.numpy(), relations.numpy(), ())
    return own.link_scores


def _show(what: str, seconds: float, found: Mapping[str, LinkMetrics]) -> None:
    for relation, metrics in found.items():
        values = asdict(metrics)["values"]
        cells = [
            f"{name} {values[name]['mean']:.4f} [{values[name]['low']:.4f}, "
            f"{values[name]['high']:.4f}]"
            for name in ("mrr", "hits@10")
        ]
        print(
            f"{what:26s} {math.ceil(seconds):4d} s  {relation:20s} {'  '.join(cells)}", flush=True
        )


if __name__ == "__main__":
    main()
