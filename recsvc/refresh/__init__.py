"""extract → fit → evaluate → write back → gate → activate, on a schedule or on demand."""
