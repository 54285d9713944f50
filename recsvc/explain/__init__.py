"""Why an item is recommended: contributions, counterfactuals, paths, sentence, picture."""
