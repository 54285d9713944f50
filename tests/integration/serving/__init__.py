"""The promises of CONTRACT §5, asked of one service."""
